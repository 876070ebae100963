"""Every sentence of the bench's report, in English and in Japanese; names all reports share stay where they are."""

from recdistill.bench.matrix import Section
from recdistill.reporting.language import Language, Texts

# Key: (English, Japanese). Names in braces are filled in; both languages use the same ones.
WORDS: dict[str, tuple[str, str]] = {
    "made": (
        "{finished} of {asked} runs of {cells} cells ended well, from {started} to {ended} (UTC); {total} of work.",
        "{cells} 条件 {asked} 回の実行のうち {finished} 回が完了（{started} ～ {ended} UTC、正味の処理時間 {total}）。",
    ),
    "incomplete": (
        "{missing} runs have not been made yet; the same command makes them.",
        "{missing} 回が未実行です。同じコマンドで続きから実行できます。",
    ),
    "contents_method": ("Method", "測定方法"),
    "contents_overview": ("Time and memory by phase", "工程別の時間とメモリ"),
    "contents_tradeoff": ("Speed against quality", "速度と品質"),
    "contents_conclusions": ("Conclusions", "結論"),
    "method_cells": (
        "Each run has a process of its own with {threads} pinned threads, and is ended after {limit}. Before "
        "anything is "
        "timed, it goes forward and backward over the longest and the shortest batch of its plan (warm-up; compile "
        "where blocks are compiled).",
        "各実行は独立したプロセスで行い、スレッド数を {threads} に固定し、{limit} を超えたら打ち切ります。計測の前に、"
        "最長と最短のバッチで順伝播と逆伝播を 1 回ずつ行います（ウォームアップ。コンパイルする設定では compile）。",
    ),
    "method_sample": (
        "One pass over {rows:,} training targets; {users:,} validation users are ranked before and after it; "
        "the outputs "
        "of {exported:,} targets are exported. The samples are drawn by one seed, so they are the same in all "
        "cells. Of "
        "test, {tested:,} histories are read for the time that takes; no test metric is computed.",
        "学習ターゲット {rows:,} 件を 1 回学習し、その前後に検証ユーザー {users:,} 人を順位付けし、"
        "{exported:,} 件の教師出力を書き出します。標本は 1 つのシードで抽出し、全条件で共通です。"
        "テストは {tested:,} 件の履歴を読む時間だけを計測し、テスト指標は計算しません。",
    ),
    "method_turns": (
        "{repeats} turns; each starts at another cell. Cells are compared turn by turn, as ratios; shown are "
        "the median "
        "and, in brackets, the smallest and largest of the turns.",
        "{repeats} 巡し、巡ごとに開始する条件をずらします。条件どうしは巡ごとの比で比較し、中央値と、"
        "括弧内に最小 ～ 最大を示します。",
    ),
    "method_noise": (
        "Noise is measured, not assumed: {pairs} ask for exactly the same, so whatever differs between them is "
        "noise. The "
        "floor of a metric is the largest ratio seen between them, at least {least}. A difference is called one only "
        "where all turns lie outside the floor, on the same side.",
        "ノイズは実測します。{pairs} はまったく同じ設定なので、両者の差はすべてノイズです。"
        "各指標のノイズ幅は観測された最大の比（最低 {least}）とし、"
        "全巡がノイズ幅の外の同じ側にある場合だけを「差」と呼びます。",
    ),
    "method_luck": (
        "By this rule two equal cells would be called different in about {chance} of comparisons with {turns} turns "
        "(simulated, with independent normal noise). Of the {count} comparisons made here that is about {expected} by "
        "luck alone; noise that lasts for a while can make more.",
        "この規則では、等しい 2 条件でも、{turns} 巡の比較の約 {chance} が偶然「差」と判定されます"
        "（独立な正規ノイズによるシミュレーション）。ここで行った {count} 件の比較では約 {expected} 件にあたり、"
        "ノイズが一定時間続く場合はさらに増えます。",
    ),
    "method_other_work": (
        "The floor was measured on {pairs} alone. Comparisons of or with {others} are of other work, which may be more "
        "or less noisy; there is no A/A pair for it.",
        "ノイズ幅は {pairs} だけで測りました。{others} の比較、またはこれらとの比較は作業内容が異なり、"
        "専用の A/A ペアがないため、実際のノイズはこれより大きいことも小さいこともあります。",
    ),
    "method_quality": (
        "Quality is NDCG@10 on validation after the pass, beside every speed; its differences have 95 % intervals by a "
        "paired bootstrap over users. After one short pass it tells whether a setting does harm, not how good it gets.",
        "速度には必ず品質（学習後の検証 NDCG@10）を併記します。"
        "差の 95 % 区間はユーザー単位の対応のあるブートストラップです。"
        "短い学習 1 回なので、設定の害の有無は分かりますが、到達品質は分かりません。",
    ),
    "method_evidence": (
        "A setting that left no evidence of having been in effect is reported as not in effect, whatever its times, "
        "and nothing is concluded from its cell; a setting that nothing looks for is reported as not judged.",
        "実際に効いていた証拠のない設定は、時間にかかわらず「未適用」とし、「差なし」とは呼ばず、"
        "その条件からは何も結論しません。確認する手段のない設定は「判定対象外」とします。",
    ),
    "method_mfu": (
        "Utilisation: the operations that the real tokens need (no padding, no recomputation) over seconds and the "
        "fastest matrix product measured in the same process, in the same type ({peaks}).",
        "利用率は、実トークンに必要な演算数（パディングと再計算を除く）を、時間と、"
        "同じプロセス・同じ型で測った行列積の最高速度（{peaks}）で割った値です。",
    ),
    "memory_cuda": ("Memory is the CUDA allocator's peak.", "メモリは CUDA アロケーターのピーク値です。"),
    "memory_cpu": (
        "Memory is the peak resident set of the process, libraries included (about {import_gib:.2f} GiB once they are "
        "imported).",
        "メモリはプロセスの常駐メモリのピーク値で、ライブラリの分（読み込み直後で約 {import_gib:.2f} GiB）を含みます。",
    ),
    "mixed_machines": (
        "The rows were measured on different machines or software; comparisons between them mean little.",
        "行によって測定時のマシンまたはソフトウェアが異なるため、その間の比較にはほとんど意味がありません。",
    ),
    "pair_caption": ("Noise floors, from {pairs} in all turns.", "ノイズ幅（{pairs} の全巡から）。"),
    "no_pair": (
        "The A/A pair has not run, so no difference can be told from noise.",
        "A/A ペアが未実行のため、差とノイズを区別できません。",
    ),
    # Metrics.
    "train_seconds": ("training", "学習"),
    "train_memory": ("peak memory while training", "学習時ピークメモリ"),
    "validation_seconds": ("validation", "検証"),
    "test_seconds": ("reading test", "テスト読み出し"),
    "export_seconds": ("export", "教師出力生成"),
    "export_memory": ("peak memory while exporting", "生成時ピークメモリ"),
    "floor_header": ("noise floor", "ノイズ幅"),
    # Tables.
    "cell": ("cell", "条件"),
    "train_s": ("train, s", "学習（秒）"),
    "step_s": ("s a step", "秒/ステップ"),
    "against": ("× {against}", "{against} 比"),
    "rows_s": ("rows/s", "行/秒"),
    "targets_s": ("targets/s", "ターゲット/秒"),
    "tokens_s": ("useful tokens/s", "有効トークン/秒"),
    "padding": ("padding", "パディング"),
    "mfu": ("utilisation", "演算利用率"),
    "ndcg": ("NDCG@10 before → after", "NDCG@10 前 → 後"),
    "ndcg_difference": ("difference to {against}", "{against} との差"),
    "export_s": ("export, s", "生成（秒）"),
    "peak_export": ("export, GiB", "生成 GiB"),
    "peak_train": ("train, GiB", "学習 GiB"),
    "verdict": ("verdict", "判定"),
    "asked": ("asked for", "要求"),
    "seen": ("seen", "確認"),
    "nothing_seen": ("nothing", "なし"),
    "in_effect": ("in effect", "適用"),
    "yes": ("yes", "はい"),
    "no": ("no", "いいえ"),
    "not_judged": ("not judged", "判定対象外"),
    "speed_caption": (
        "Speed of the pass, medians over turns. Utilisation counts real tokens only.",
        "学習の速度（巡の中央値）。利用率は有効トークンのみを数えます。",
    ),
    "training_caption": (
        "Training, and quality beside it. Median over turns [smallest, largest]. Training is train steps and "
        "waiting for "
        "data together.",
        "学習と品質。巡の中央値［最小, 最大］。学習時間は学習ステップとデータ待ちの合計です。",
    ),
    "export_caption": (
        "Export: the teacher runs, its outputs are written. Median over turns [smallest, largest]; rates are medians.",
        "教師出力生成（推論と書き込み）。巡の中央値［最小, 最大］。",
    ),
    "times_caption": ("Seconds by phase, medians over turns.", "工程別の秒数（巡の中央値）。"),
    "memory_caption": ("Peak memory by phase in GiB, medians over turns.", "工程別ピークメモリ（GiB、巡の中央値）。"),
    "evidence_caption": ("What each cell asked for, and what was seen as it ran.", "要求した設定と実行時の確認結果。"),
    "times_figure": ("Seconds by phase, medians over turns.", "工程別の秒数（巡の中央値）。"),
    "memory_figure": ("Peak memory by phase in GiB, medians over turns.", "工程別ピークメモリ（GiB、巡の中央値）。"),
    "tradeoff_figure": (
        "Training speed and NDCG@10 after the pass. Cells that differ from the base are labelled; the "
        "line is the base's NDCG@10.",
        "学習速度と学習後の NDCG@10。基準と差のある条件に名前を付け、横線は基準の NDCG@10 です。",
    ),
    # Verdicts.
    "verdict_base": ("compared with", "比較対象"),
    "verdict_slower": ("slower", "遅い"),
    "verdict_faster": ("faster", "速い"),
    "verdict_more": ("more memory", "メモリ増"),
    "verdict_less": ("less memory", "メモリ減"),
    "verdict_noise": ("inside the noise", "ノイズの範囲内"),
    "verdict_not_in_effect": ("not in effect", "未適用"),
    "verdict_refused": ("refused", "実行不可"),
    "verdict_failed": ("failed", "失敗"),
    "verdict_out_of_memory": ("out of memory", "メモリ不足"),
    "verdict_timed_out": ("timed out", "時間切れ"),
    "verdict_missing": ("not run", "未実行"),
    "verdict_against": ("compared with a cell: {what}", "比較対象: {what}"),
    "verdict_unknown": ("too few turns", "巡が不足"),
    # Sentences.
    "slower": ("{metric} {factor} times slower ({low}–{high})", "{metric}は {factor} 倍遅い（{low}～{high} 倍）"),
    "faster": ("{metric} {factor} times faster ({low}–{high})", "{metric}は {factor} 倍速い（{low}～{high} 倍）"),
    "percent": ("{metric} {percent} ({low} to {high})", "{metric}は {percent}（{low} ～ {high}）"),
    "inside": (
        "inside the noise: {metrics}",
        "ノイズの範囲内: {metrics}",
    ),
    "quality_clear": (
        "NDCG@10 {difference} ({low} to {high})",
        "NDCG@10 は {difference}（{low} ～ {high}）",
    ),
    "quality_level": (
        "NDCG@10 without a detectable difference ({low} to {high})",
        "NDCG@10 に検出できる差なし（{low} ～ {high}）",
    ),
    "quality_same": ("NDCG@10 the same for every user", "NDCG@10 は全ユーザーで同じ"),
    "finding": ("{cell} against {against}: {parts}.", "{cell}（{against} 比）: {parts}。"),
    "trouble": ("{cell}: {what}: {reason}", "{cell}: {what}: {reason}"),
    "missing": ("{cell}: not run.", "{cell}: 未実行。"),
    "ineffective": (
        "{cell}: not in effect, since {keys} left no evidence; its times say nothing about the setting.",
        "{cell}: {keys} が効いていた証拠がないため未適用。時間はこの設定について何も示しません。",
    ),
    "no_reference": (
        "{cell}: cannot be judged, since {against}, which it is compared with, is: {what}.",
        "{cell}: 判定できません。比較対象の {against} は「{what}」です。",
    ),
    "unjudged": (
        "whether it was in effect is not judged: {keys}",
        "適用の有無は判定対象外: {keys}",
    ),
    "no_floor": (
        "{cell}: cannot be judged until it, its reference and the A/A pair each have three turns.",
        "{cell}: 判定できません。比較対象および A/A ペアと共通の 3 巡が必要です。",
    ),
    "partly": ("turn {turn} {what}", "{turn} 巡目は{what}"),
    "separator": ("; ", "、"),
    # 2×2.
    "factorial_caption": (
        "The four cells apart: what each setting adds, averaged over the other, and what both together add beyond that "
        "(interaction). Median over turns [smallest, largest].",
        "4 条件の分解: 各設定の効果（もう一方の設定について平均）と、両方を合わせたときの上乗せ（交互作用）。"
        "巡の中央値［最小, 最大］。",
    ),
    "effect": ("effect", "効果"),
    "interaction": ("interaction", "交互作用"),
    "effect_verdict": ("difference", "差"),
    "factorial_missing": (
        "The 2×2 cannot be told apart, since not all four cells can be used: {cells}.",
        "4 条件のすべてを使えるわけではないため、2×2 の分解はできません: {cells}。",
    ),
    "factorial_turns": (
        "The 2×2 cannot be told apart: the four cells, or the A/A pair, have fewer than {turns} turns in common.",
        "4 条件または A/A ペアに共通の巡が {turns} 未満のため、2×2 の分解はできません。",
    ),
    "factorial_shares": (
        "Both together change {metric} by {total} {unit} from {neither}; {first} alone by {one}, {second} "
        "alone by {two}.",
        "両方を合わせると {metric}は {neither} から {total} {unit}。{first} のみで {one}、{second} のみで {two}。",
    ),
    # Compile.
    "payback": (
        "{cell}: compiling takes {price} more than the warm-up of {against} and saves {saved} a step: it pays "
        "back at step "
        "{steps:,}.",
        "{cell}: コンパイルは {against} のウォームアップより {price} 長く、1 ステップあたり {saved} 短縮。"
        "{steps:,} ステップ目で元が取れます。",
    ),
    "payback_never": (
        "{cell}: compiling takes {price} more than the warm-up of {against} and saves nothing beyond the "
        "noise: it never "
        "pays back.",
        "{cell}: コンパイルは {against} のウォームアップより {price} 長く、ノイズを超える短縮がないため、"
        "元が取れることはありません。",
    ),
    # Reproduce.
    "bench_reproduce": (
        "The command goes on where it was interrupted and runs only what is missing. All rows are in results.jsonl.",
        "中断した場合は同じコマンドで続きから実行し、足りない分だけを測ります。全行は results.jsonl にあります。",
    ),
    "matrix": ("The matrix", "実験の定義"),
}  # fmt: skip


class BenchTexts(Texts):
    """The sentences of one language: the bench's own, then the package's."""

    def __init__(self, language: Language) -> None:
        super().__init__(language)
        self._place = ("en", "ja").index(language)

    def __call__(self, key: str, **values: object) -> str:
        """The sentence called `key`, with `values` filled in."""
        return WORDS[key][self._place].format(**values) if key in WORDS else super().__call__(key, **values)

    def of(self, texts: dict[str, str]) -> str:
        """The one of a matrix's texts that is in this language."""
        return texts[self.language]

    def section(self, section: Section) -> str:
        """A section's title."""
        return self.of(section.titles)
