"""Every sentence of the report, in English and in Japanese."""

from typing import Literal

Language = Literal["en", "ja"]

MODELS = ("popularity", "neighbours", "student", "teacher", "distilled", "oracle")
"""The models that have a name in both languages."""

# Key: (English, Japanese). Names in braces are filled in; both languages use the same ones.
TEXTS: dict[str, tuple[str, str]] = {
    # Names.
    "popularity": ("popularity baseline", "人気順"),
    "neighbours": ("neighbours baseline", "共起近傍"),
    "student": ("student", "生徒モデル"),
    "teacher": ("teacher", "教師モデル"),
    "distilled": ("distilled student", "蒸留モデル"),
    "oracle": ("oracle", "理論上の上限"),
    "split_test": ("test", "テスト"),
    "split_validation": ("validation", "検証"),
    "step_prepare": ("prepare", "データ準備"),
    "step_student": ("student", "生徒モデルの学習"),
    "step_teacher": ("teacher", "教師モデルの学習"),
    "step_teacher_outputs": ("teacher outputs", "教師出力の書き出し"),
    "step_distilled": ("distilled student", "蒸留"),
    "step_evaluation": ("evaluation", "評価"),
    "minus": ("{a} - {b}", "{a} − {b}"),
    "hours": ("{hours} h {minutes:02d} min", "{hours} 時間 {minutes} 分"),
    "minutes": ("{minutes} min {seconds:02d} s", "{minutes} 分 {seconds} 秒"),
    "some_seconds": ("{seconds:.1f} s", "{seconds:.1f} 秒"),
    # Page.
    "title": ("Report of {run}", "{run} の実験レポート"),
    "made": (
        "From {started} to {finished} (UTC); {total} of work.",
        "実行期間: {started} ～ {finished}（UTC）、正味の処理時間: {total}",
    ),
    "contents_data": ("Data", "データ"),
    "contents_summary": ("Summary", "要約"),
    "contents_results": ("Results", "結果"),
    "contents_tests": ("Paired tests", "対応のある検定"),
    "contents_popularity": ("By popularity of the target", "正解アイテムの人気度別"),
    "contents_history_length": ("By length of the history", "履歴の長さ別"),
    "contents_candidates": ("Among random candidates", "ランダム候補内での順位"),
    "contents_curves": ("Learning curves", "学習曲線"),
    "contents_cost": ("Time and memory", "時間とメモリ"),
    "contents_gate": ("Gate", "ゲート"),
    "contents_lists": ("The teacher's lists", "教師モデルのリスト"),
    "contents_evidence": ("What the teacher really ran", "教師モデルの実行内容"),
    "contents_environment": ("Environment", "実行環境"),
    "contents_reproduce": ("Reproduce", "再現方法"),
    # Summary.
    "best": (
        "The {model} has the highest NDCG@10: {value} (95 % interval {low} to {high}). {how}",
        "NDCG@10 が最も高いのは「{model}」の {value}（95 % 信頼区間 {low} ～ {high}）です。{how}",
    ),
    "how": (
        "Ranked: {rows} targets ({split} split) of {users} users among all {items} items, {seen}.",
        "{split}データの {rows} 件（ユーザー {users} 人）について全 {items} アイテムを順位付け（{seen}）。",
    ),
    "seen_filtered": ("items already in the history left out", "履歴にあるアイテムは除外"),
    "seen_kept": ("items already in the history kept", "履歴にあるアイテムも含む"),
    "repeats": (
        "{repeats} of {rows} targets repeat an item of their own history. Such items are left out of the ranking, so "
        "these targets count as misses for every model. To rank them, set evaluate.filter_seen to false.",
        "正解 {rows} 件のうち {repeats} 件は、すでに履歴にあるアイテムです。"
        "履歴のアイテムを順位付けから除外しているため、"
        "どのモデルでも不正解になります。順位付けに含めるには evaluate.filter_seen を false にします。",
    ),
    "clearly_above": (
        "The {a} is above the {b} by {difference} NDCG@10 ({interval}, {p}): more than the noise of users.",
        "「{a}」は「{b}」を NDCG@10 で {difference} 上回ります（{interval}、{p}）。"
        "ユーザーによるばらつきを超える差です。",
    ),
    "clearly_below": (
        "The {a} is below the {b} by {difference} NDCG@10 ({interval}, {p}): more than the noise of users.",
        "「{a}」は「{b}」を NDCG@10 で {difference} 下回ります（{interval}、{p}）。"
        "ユーザーによるばらつきを超える差です。",
    ),
    "perhaps": (
        "Between the {a} and the {b} a difference of {difference} NDCG@10 is likely, not certain ({interval}, {p}): "
        "alone it would count, among all comparisons made here it may be chance.",
        "「{a}」と「{b}」の NDCG@10 の差 {difference} は、あるとしても確実とは言えません（{interval}、{p}）。"
        "単独の比較なら有意ですが、ここで行った比較の数を考えると偶然の可能性が残ります。",
    ),
    "level": (
        "Between the {a} and the {b} there is no detectable difference: {difference} NDCG@10 ({interval}, {p}).",
        "「{a}」と「{b}」の間に検出できる差はありません（NDCG@10 の差 {difference}、{interval}、{p}）。",
    ),
    "baseline_ahead": (
        "The {b}, which is counted and not trained, ranks above the {a} here: look at the data and the settings before "
        "the {a} is used.",
        "ここでは、学習を必要としない「{b}」が「{a}」を上回っています。"
        "「{a}」を使う前に、データと設定を見直してください。",
    ),
    "interval_holds_zero": (
        "The interval includes 0 although p {p}: it is cut from bootstrap resamples, p counts sign flips, and close to "
        "0.05 the two may part; take the difference as undecided.",
        "p {p} ですが区間は 0 を含みます。区間はブートストラップ、p 値は符号反転検定によるもので、"
        "0.05 の近くでは結論が分かれることがあります。差の有無は判断できません。",
    ),
    "interval_without_zero": (
        "The interval excludes 0 although p {p}: it is cut from bootstrap resamples, p counts sign flips, and close to "
        "0.05 the two may part; take the difference as undecided.",
        "p {p} ですが区間は 0 を含みません。区間はブートストラップ、p 値は符号反転検定によるもので、"
        "0.05 の近くでは結論が分かれることがあります。差の有無は判断できません。",
    ),
    "seeds_held_fixed": (
        "Interval and p {p} differ since this p, of an earlier version, holds the seeds fixed and the interval does "
        "not; the interval counts.",
        "p {p} と区間の結論が異なるのは、この p 値（旧版）がシードを固定しているのに対し、"
        "区間はシードのばらつきも含むためです。区間の方を見てください。",
    ),
    "one_seed": (
        "All of it is from one training seed; another seed may move these figures by as much. Intervals and p values "
        "are over users alone; several seeds are compared by recdistill compare.",
        "学習シードは 1 つだけです。別のシードでは同じ程度に数値が動くことがあります。"
        "区間と p 値はユーザーのばらつきのみによるもので、複数のシードは recdistill compare で比較できます。",
    ),
    "interval_text": ("95 % interval {low} to {high}", "95 % 信頼区間 {low} ～ {high}"),
    "p_text": ("p\u00a0{p}, {p_holm} after Holm's correction", "p\u00a0{p}、Holm 補正後 {p_holm}"),
    # Tables and figures.
    "model": ("model", "モデル"),
    "coverage": ("coverage@10", "カバレッジ@10"),
    "mean_popularity": ("popularity@10", "平均人気度@10"),
    "novelty": ("novelty@10", "新規性@10"),
    "results_caption": (
        "{how} In brackets: 95 % intervals, bootstrap over users ({samples} resamples). HR is the hit rate; it equals "
        "recall, as a row has one target. Coverage: share of the catalog in at least one list of 10. Popularity: "
        "train events of a listed item on average. Novelty: its self-information in bits, the higher the rarer.",
        "{how}角括弧内は 95 % 信頼区間（ユーザー単位のブートストラップ、{samples} 回）。HR はヒット率で、"
        "正解が 1 件につき 1 アイテムなので Recall と等しくなります。"
        "カバレッジは上位 10 件のいずれかに現れたアイテムの割合、"
        "平均人気度は上位 10 件のアイテムの学習データでの平均出現回数、"
        "新規性はその自己情報量（ビット）の平均で、大きいほど珍しいアイテムが並んでいます。",
    ),
    "results_figure": (
        "NDCG@10 and hit rate@10 with 95 % intervals. Intervals of two models may overlap although the paired test, "
        "which compares them user by user, tells them apart.",
        "NDCG@10 とヒット率@10（横線は 95 % 信頼区間）。区間が重なっていても、"
        "ユーザーごとに比べる対応のある検定では差が出ることがあります。",
    ),
    "metric": ("metric", "指標"),
    "difference": ("difference", "差"),
    "interval": ("95 % interval", "95 % 信頼区間"),
    "p": ("p", "p 値"),
    "p_holm": ("p (Holm)", "p 値（Holm）"),
    "verdict": ("verdict", "判定"),
    "verdict_clear": ("different", "差あり"),
    "verdict_perhaps": ("perhaps", "不確実"),
    "verdict_level": ("not detectable", "検出されず"),
    "tests_caption": (
        "Sign-flip test of the paired differences, user by user ({permutations} permutations); Holm's correction over "
        "all pairs on one metric. Not detectable: the interval holds 0. Different: it does not, and the corrected p "
        "is below 0.05. Perhaps: it does not, but the corrected p is larger.",
        "ユーザーごとの差の符号反転検定（並べ替え {permutations} 回）。"
        "Holm 補正は指標ごとに全ての組に対して行いました。区間が 0 を含むものは「検出されず」、"
        "含まず補正後の p 値が 0.05 未満なら「差あり」、0.05 以上なら「不確実」です。",
    ),
    "first_of": ("HR@1 of {size}", "HR@1（{size} 件中）"),
    "candidates_text": (
        "The protocol of LLaRA and iLoRA: each target is ranked among itself and {random} random items that are not in "
        "the user's history, drawn once and the same for all models. It is much easier than ranking the whole catalog "
        "and is shown for comparison with those papers alone.",
        "LLaRA・iLoRA の評価方法です。正解 1 件と、履歴にないアイテムから無作為に選んだ {random} 件"
        "（全モデル共通、一度だけ抽出）の中で順位を付けます。全アイテムの順位付けよりはるかに易しく、"
        "論文の数値と並べるための参考値です。",
    ),
    "candidates_caption": (
        "Share of targets on the first place, with 95 % intervals; the paired tests stand in metrics.json.",
        "正解が 1 位になった割合（角括弧内は 95 % 信頼区間）。対応のある検定の結果は metrics.json にあります。",
    ),
    "candidates_left_out": (
        "{left_out} of {rows} targets are not in this table: their histories leave fewer than {random} items to draw "
        "from.",
        "{rows} 件のうち {left_out} 件は、履歴にないアイテムが {random} 件に満たないため、この表に含まれていません。",
    ),
    "slice_cold": ("cold, {first}–{last} events", "コールド（{first}～{last} 回）"),
    "slice_popularity": ("{first}–{last} events", "{first}～{last} 回"),
    "slice_history_length": ("{first}–{last} items", "{first}～{last} 件"),
    "target_popularity": ("train events of the target", "正解の学習データでの出現回数"),
    "history_length": ("items before the target", "正解より前のアイテム数"),
    "rows": ("rows", "件数"),
    "slice_caption": (
        "NDCG@10 within each slice, with 95 % intervals.",
        "区分ごとの NDCG@10（角括弧内は 95 % 信頼区間）。",
    ),
    "slice_figure": (
        "NDCG@10 with 95 % intervals in each slice, from small values on the left to large ones on the right.",
        "区分ごとの NDCG@10（縦線は 95 % 信頼区間）。左ほど値が小さい区分です。",
    ),
    "slice_tests_caption": (
        "Differences of NDCG@10 within each slice; Holm's correction over all pairs of models in all slices.",
        "区分ごとの NDCG@10 の差。Holm 補正は全区分・全モデルの組に対して行いました。",
    ),
    "curves_figure": (
        "Left: mean training loss (nats) against the epoch. Right: NDCG@10 on validation; the dot is the epoch that "
        "was kept.",
        "左: エポックごとの平均学習損失（nat）。右: 検証データの NDCG@10。点は採用したエポックです。",
    ),
    "curves_caption": (
        "Training runs. The weights of the best validation were kept.",
        "学習の概要。検証データで最良だった時点の重みを採用しています。",
    ),
    "best_validation": ("best validation NDCG@10", "検証 NDCG@10 の最良値"),
    "at_epoch": ("at epoch", "そのエポック"),
    "epochs": ("epochs", "エポック数"),
    "optimiser_steps": ("steps", "ステップ数"),
    "targets_seen": ("targets learned from", "学習した対象数"),
    "seconds": ("seconds", "秒"),
    "step": ("step", "工程"),
    "phase": ("phase", "フェーズ"),
    "rss": ("peak RSS, GiB", "最大 RSS（GiB）"),
    "allocated": ("peak on the GPU, GiB", "GPU 最大割り当て（GiB）"),
    "total": ("all", "合計"),
    "cost_caption": (
        "Phases never overlap: each moment counts for one. Peaks are those of the whole process while the phase ran "
        "(RSS: resident set on the CPU).",
        "フェーズは互いに重なりません。メモリはそのフェーズ中のプロセス全体の最大値です（RSS は CPU 側の常駐メモリ）。",
    ),
    "time_figure": (
        "Seconds per phase; phases below 1 % of the longest are left out here and stand in the table.",
        "フェーズ別の所要時間（秒）。最長フェーズの 1 % 未満のものは図では省き、表に載せています。",
    ),
    "memory_figure": (
        "Peak memory per step (GiB), the largest of its phases: rss, resident on the CPU; allocated, on the GPU.",
        "工程別の最大メモリ（GiB）。rss は CPU 側の常駐量、allocated は GPU 側の割り当て量で、"
        "いずれも全フェーズの最大値です。",
    ),
    "gate_figure": (
        "Weights of the {experts} experts for some users, by their ids; equal shares would be {uniform} each.",
        "一部のユーザー（ID で表示）に対する {experts} 個のエキスパートの重み。均等なら各 {uniform} です。",
    ),
    "gate_text": (
        "Over all users the weights have a mean entropy of {entropy} nats, of {maximum} at most, where all experts "
        "weigh the same; between users a weight varies by {std} (standard deviation).",
        "全ユーザーでの重みの平均エントロピーは {entropy} nat（全エキスパートが均等な場合の最大値は {maximum}）、"
        "ユーザー間の重みの標準偏差は {std} です。",
    ),
    "key": ("what", "項目"),
    "value": ("value", "値"),
    "events": ("events", "イベント"),
    "users": ("users", "ユーザー"),
    "items": ("items", "アイテム"),
    "train_targets": ("train targets", "学習対象"),
    "validation_targets": ("validation targets", "検証対象"),
    "test_targets": ("test targets", "テスト対象"),
    "titles_missing": ("items without a title", "タイトルのないアイテム"),
    "items_unmatched": ("items that are not in the items file", "アイテムファイルにないアイテム"),
    "second_titles": (
        "items with several titles in the items file (the first counts)",
        "アイテムファイルで複数のタイトルを持つアイテム（最初のものを使用）",
    ),
    "dropped": ("dropped by {filter}", "{filter} による除外"),
    "bad_rows": ("rows left out since they cannot be read", "読み取れず除外した行"),
    "tied_events": ("events at the time of the one before", "直前と同時刻のイベント"),
    "source": ("source", "データソース"),
    "split": ("split", "分割方法"),
    "fingerprint": ("fingerprint", "フィンガープリント"),
    # Environment.
    "device": ("device", "デバイス"),
    "system": ("system", "システム"),
    "cpu": ("CPU", "CPU"),
    "cpu_text": ("{model}, {cores} cores, {threads} threads in use", "{model}、{cores} コア、使用スレッド数 {threads}"),
    "memory": ("memory", "メモリ"),
    "gpu": ("GPU", "GPU"),
    "gpu_text": (
        "{name}, {memory_gib:.1f} GiB, driver {driver}, CUDA {cuda}",
        "{name}、{memory_gib:.1f} GiB、ドライバー {driver}、CUDA {cuda}",
    ),
    "none": ("none", "なし"),
    "unknown": ("unknown", "不明"),
    "python": ("Python", "Python"),
    "git": ("commit", "コミット"),
    "git_dirty": ("{commit}, with uncommitted changes", "{commit}（未コミットの変更あり）"),
    "mixed_environment": (
        "The steps did not all run with the same machine and software; the last step's is shown; these steps differ: "
        "{steps}.",
        "すべての工程が同じ環境で実行されたわけではありません。表示は最後の工程のものです。異なる工程: {steps}。",
    ),
    "configuration": ("Configuration", "設定"),
    "reproduce": (
        "Save the configuration below as config.yaml and give the run another folder. On the same machine the same "
        "seed gives the same numbers (on the CPU).",
        "下の設定を config.yaml として保存し、run に別のフォルダーを指定して実行します。CPU 上では、"
        "同じマシン・同じシードなら同じ数値になります。",
    ),
    "evidence_text": (
        "Read off the loaded model, not off the configuration.",
        "設定ファイルからではなく、実際に読み込まれたモデルから読み取った内容です。",
    ),
    "targets": ("Targets", "ターゲット"),
    "number": ("number", "件数"),
    "probability": ("probability of the target", "正解の確率"),
    "entropy": ("entropy, nats", "エントロピー (nat)"),
    "lists_text": (
        "The distilled student learns from the lists of the training targets. A teacher that was trained on a target "
        "names it from memory: the farther these lists are above validation's, the more of them is the target itself. "
        "distill.drop_target takes it out (not with soft_targets); teacher.folds has the lists written by teachers "
        "that have not seen the user.",
        "蒸留モデルは、学習ターゲットについての教師のリストから学びます。教師は学習に使った正解を記憶から答えるため、検証より"
        "精度が高いほど、リストは正解そのものに近くなります。distill.drop_target は正解をリストから除き"
        "（soft_targets では無効）、teacher.folds はそのユーザーを見ていない教師にリストを書かせます。",
    ),
    "lists_caption": (
        "How the lists place their own targets; the probability is 0 where a target is not in its list.",
        "リストの中での正解の位置。リストにない正解の確率は 0 とします。",
    ),
    "strength_text": (
        "Where distill.weight or distill.dropout was auto, the data decided; the student learned with weight {weight} "
        "and dropout {dropout}.",
        "distill.weight と distill.dropout の auto は、データに応じて決まります。蒸留モデルの学習では重み {weight}、"
        "ドロップアウト {dropout} を使いました。",
    ),
    "strength_plain": ("as the plain student", "生徒モデルと同じ値"),
    "strength_why": (
        "An item has {events} training events on average; with fewer than {limit}, lists weigh less.",
        "1 アイテムあたりの学習イベントは平均 {events} 件です。{limit} 件未満では、リストの重みを下げます。",
    ),
    # Missing parts.
    "no_data": ("The run has no record of its data.", "データの記録がありません。"),
    "no_metrics": ("The models of this run have not been evaluated.", "この実験のモデルはまだ評価されていません。"),
    "no_tests": ("With one model there is nothing to compare.", "モデルが 1 つだけなので比較はありません。"),
    "knowledge": (
        "A teacher's gain is not the language model's knowledge by itself. With the default teacher, weights shuffled "
        "within each matrix ranked as well (docs/experiments.md): what it adds is a second sequence model over title "
        "embeddings. Run that control before you credit the language model.",
        "教師モデルによる増分が、そのまま LLM の知識を示すわけではありません。既定の教師モデルでは、"
        "重みを行列ごとにシャッフルしても"
        "性能は同じでした（docs/experiments.md）。加わるのは、タイトルの埋め込みを入力とする 2 つ目の系列モデルです。"
        "LLM の効果と判断する前に、この対照実験を行ってください。",
    ),
    "no_teacher": ("No teacher was trained in this run.", "この実験では教師モデルを学習していません。"),
    "no_outputs": (
        "The teacher's outputs were not written (export.enabled: false, or not yet), so nothing was distilled.",
        "教師の出力が書き出されていない（export.enabled: false、または未実行の）ため、蒸留は行われていません。",
    ),
    "no_distilled": ("No student was distilled in this run yet.", "この実験では蒸留がまだ行われていません。"),
    "no_curves": ("No training run left a curve.", "学習の記録がありません。"),
    "no_cost": ("No times were recorded.", "時間の記録がありません。"),
    "no_gate": ("The teacher has no gate, or left no examples of it.", "ゲートがないか、ゲートの記録がありません。"),
    "setting": ("Setting", "設定項目"),
    "asked": ("asked for", "指定値"),
    "in_effect": ("in effect", "有効か"),
    "seen": ("what was seen", "観測された内容"),
    "yes": ("yes", "有効"),
    "not_in_effect": ("NOT IN EFFECT", "無効"),
    "settings_caption": (
        "Settings, and what was seen of each while the teacher trained and was exported.",
        "各設定と、教師モデルの学習・出力時に観測された内容。",
    ),
    "settings_without_trace": (
        "These settings left no trace and were not in effect: {keys}.",
        "次の設定は痕跡がなく、有効になっていませんでした: {keys}。",
    ),
    "no_evidence": ("The teacher left no evidence of what ran.", "教師モデルの実行内容の記録がありません。"),
}


class Texts:
    """The sentences of one language."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._column = ("en", "ja").index(language)

    def __call__(self, key: str, **values: object) -> str:
        """The sentence called `key`, with `values` filled in."""
        return TEXTS[key][self._column].format(**values)

    def name(self, model: str) -> str:
        """What a model is called in a sentence; one that the table does not know keeps its own name."""
        return TEXTS[model][self._column] if model in MODELS else model

    def short(self, model: str) -> str:
        """What a model is called where there is little room: its key in English."""
        return model if self.language == "en" else self.name(model)

    def label(self, model: str) -> str:
        """What a model is called at the head of a row, with its key, which the drawings use."""
        return model if self.short(model) == model else f"{self.short(model)} ({model})"
