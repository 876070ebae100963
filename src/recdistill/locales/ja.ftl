## Names

popularity = 人気順
cooccurrence = 共起ベースライン
item_knn = ItemKNN
ease = EASE
student = 生徒モデル
teacher = 教師モデル
distilled = 蒸留モデル
oracle = 理論上の上限
split_test = テスト
split_validation = 検証
step_prepare = データ準備
step_student = 生徒モデルの学習
step_teacher = 教師モデルの学習
step_teacher_outputs = 教師出力の書き出し
step_distilled = 蒸留
step_evaluation = 評価
both = { $one } と { $other }
separator = 、
minus = { $a } − { $b }
hours = { $hours } 時間 { $minutes } 分
minutes = { $minutes } 分 { $seconds } 秒
some_seconds = { $seconds } 秒

## Page

title = { $run } の実験レポート
made = 実行期間: { $started } ～ { $finished }（UTC）、正味の処理時間: { $total }
tables_scroll = 表は横にスクロールできます。
contents_data = データ
contents_summary = 要約
contents_results = 結果
contents_tests = 対応のある検定
contents_popularity = 正解アイテムの人気度別
contents_history_length = 履歴の長さ別
contents_candidates = ランダム候補内での順位
contents_curves = 学習曲線
contents_cost = 時間とメモリ
contents_gate = ゲート
contents_lists = 教師モデルのリスト
contents_evidence = 教師モデルの実行内容
contents_environment = 実行環境
contents_reproduce = 再現方法

## Summary

best = NDCG@10 が最も高いのは「{ $model }」の { $value }（95 % 信頼区間 { $low } ～ { $high }）です。{ $how }
how = { $split }データの { $rows } 件（ユーザー { $users } 人）について全 { $items } アイテムを順位付け（{ $seen }）。
seen_filtered = 履歴にあるアイテムは除外
seen_kept = 履歴にあるアイテムも含む
repeats = 正解 { $rows } 件のうち { $repeats } 件は、すでに履歴にあるアイテムです。履歴のアイテムを順位付けから除外しているため、どのモデルでも不正解になります。順位付けに含めるには evaluate.filter_seen を false にします。
clearly_above = 「{ $a }」は「{ $b }」を NDCG@10 で { $difference } 上回ります（{ $interval }、{ $p }）。ユーザーによるばらつきを超える差です。
clearly_below = 「{ $a }」は「{ $b }」を NDCG@10 で { $difference } 下回ります（{ $interval }、{ $p }）。ユーザーによるばらつきを超える差です。
perhaps = 「{ $a }」と「{ $b }」の NDCG@10 の差 { $difference } は、あるとしても確実とは言えません（{ $interval }、{ $p }）。単独の比較なら有意ですが、ここで行った比較の数を考えると偶然の可能性が残ります。
level = 「{ $a }」と「{ $b }」の間に検出できる差はありません（NDCG@10 の差 { $difference }、{ $interval }、{ $p }）。
baseline_ahead = ここでは、学習を必要としない「{ $b }」が「{ $a }」を上回っています。「{ $a }」を使う前に、データと設定を見直してください。
interval_holds_zero = p { $p } ですが区間は 0 を含みます。区間はブートストラップ、p 値は符号反転検定によるもので、0.05 の近くでは結論が分かれることがあります。差の有無は判断できません。
interval_without_zero = p { $p } ですが区間は 0 を含みません。区間はブートストラップ、p 値は符号反転検定によるもので、0.05 の近くでは結論が分かれることがあります。差の有無は判断できません。
seeds_held_fixed = p { $p } と区間の結論が異なるのは、この p 値（旧版）がシードを固定しているのに対し、区間はシードのばらつきも含むためです。区間の方を見てください。
one_seed = 学習シードは 1 つだけです。別のシードでは同じ程度に数値が動くことがあります。区間と p 値はユーザーのばらつきのみによるもので、複数のシードは recdistill compare で比較できます。
interval_text = 95 % 信頼区間 { $low } ～ { $high }
p_text = p{ "\u00A0" }{ $p }、Holm 補正後 { $p_holm }

## Tables and figures

model = モデル
coverage = カバレッジ@10
mean_popularity = 平均人気度@10
novelty = 新規性@10
results_caption = { $how }角括弧内は 95 % 信頼区間（ユーザー単位のブートストラップ、{ $samples } 回）。HR はヒット率で、正解が 1 件につき 1 アイテムなので Recall と等しくなります。カバレッジは上位 10 件のいずれかに現れたアイテムの割合、平均人気度は上位 10 件のアイテムの学習データでの平均出現回数、新規性はその自己情報量（ビット）の平均で、大きいほど珍しいアイテムが並んでいます。
results_figure = NDCG@10 とヒット率@10（横線は 95 % 信頼区間）。区間が重なっていても、ユーザーごとに比べる対応のある検定では差が出ることがあります。
metric = 指標
difference = 差
interval = 95 % 信頼区間
p = p 値
p_holm = p 値（Holm）
verdict = 判定
verdict_clear = 差あり
verdict_perhaps = 不確実
verdict_level = 検出されず
tests_caption = ユーザーごとの差の符号反転検定（並べ替え { $permutations } 回）。Holm 補正は指標ごとに全ての組に対して行いました。区間が 0 を含むものは「検出されず」、含まず補正後の p 値が 0.05 未満なら「差あり」、0.05 以上なら「不確実」です。
first_of = HR@1（{ $size } 件中）
candidates_text = LLaRA・iLoRA の評価方法です。正解 1 件と、履歴にないアイテムから無作為に選んだ { $random } 件（全モデル共通、一度だけ抽出）の中で順位を付けます。全アイテムの順位付けよりはるかに易しく、論文の数値と並べるための参考値です。
candidates_caption = 正解が 1 位になった割合（角括弧内は 95 % 信頼区間）。対応のある検定の結果は metrics.json にあります。
candidates_left_out = { $rows } 件のうち { $left_out } 件は、履歴にないアイテムが { $random } 件に満たないため、この表に含まれていません。
slice_cold = コールド（{ $first }～{ $last } 回）
slice_popularity = { $first }～{ $last } 回
slice_history_length = { $first }～{ $last } 件
target_popularity = 正解の学習データでの出現回数
history_length = 正解より前のアイテム数
rows = 件数
slice_caption = 区分ごとの NDCG@10（角括弧内は 95 % 信頼区間）。
slice_figure = 区分ごとの NDCG@10（縦線は 95 % 信頼区間）。左ほど値が小さい区分です。
slice_tests_caption = 区分ごとの NDCG@10 の差。Holm 補正は全区分・全モデルの組に対して行いました。
curves_figure = 左: エポックごとの平均学習損失（nat）。右: 検証データの NDCG@10。点は採用したエポックです。
curves_caption = 学習の概要。検証データで最良だった時点の重みを採用しています。
best_validation = 検証 NDCG@10 の最良値
at_epoch = そのエポック
epochs = エポック数
optimiser_steps = ステップ数
targets_seen = 学習した対象数
seconds = 秒
step = 工程
phase = フェーズ
rss = 最大 RSS（GiB）
allocated = GPU 最大割り当て（GiB）
total = 合計
cost_caption = フェーズは互いに重なりません。メモリはそのフェーズ中のプロセス全体の最大値です（RSS は CPU 側の常駐メモリ）。
time_figure = フェーズ別の所要時間（秒）。最長フェーズの 1 % 未満のものは図では省き、表に載せています。
memory_figure = 工程別の最大メモリ（GiB）。rss は CPU 側の常駐量、allocated は GPU 側の割り当て量で、いずれも全フェーズの最大値です。
gate_figure = 一部のユーザー（ID で表示）に対する { $experts } 個のエキスパートの重み。均等なら各 { $uniform } です。
gate_text = 全ユーザーでの重みの平均エントロピーは { $entropy } nat（全エキスパートが均等な場合の最大値は { $maximum }）、ユーザー間の重みの標準偏差は { $std } です。
key = 項目
value = 値
events = イベント
users = ユーザー
items = アイテム
train_targets = 学習対象
validation_targets = 検証対象
test_targets = テスト対象
titles_missing = タイトルのないアイテム
items_unmatched = アイテムファイルにないアイテム
second_titles = アイテムファイルで複数のタイトルを持つアイテム（最初のものを使用）
dropped = { $filter } による除外
bad_rows = 読み取れず除外した行
tied_events = 直前と同時刻のイベント
source = データソース
split = 分割方法
fingerprint = フィンガープリント

## Environment

device = デバイス
system = システム
cpu = CPU
cpu_text = { $model }、{ $cores } コア、使用スレッド数 { $threads }
memory = メモリ
gpu = GPU
gpu_text = { $name }、{ $memory } GiB、ドライバー { $driver }、CUDA { $cuda }
none = なし
unknown = 不明
python = Python
git = コミット
git_dirty = { $commit }（未コミットの変更あり）
mixed_environment = すべての工程が同じ環境で実行されたわけではありません。表示は最後の工程のものです。異なる工程: { $steps }。
configuration = 設定
reproduce = 下の設定を config.yaml として保存し、run に別のフォルダーを指定して実行します。CPU 上では、同じマシン・同じシードなら同じ数値になります。
evidence_text = 設定ファイルからではなく、実際に読み込まれたモデルから読み取った内容です。
targets = ターゲット
number = 件数
probability = 正解の確率
entropy = エントロピー (nat)
lists_text = 蒸留モデルは、学習ターゲットについての教師のリストから学びます。教師は学習に使った正解を記憶から答えるため、検証より精度が高いほど、リストは正解そのものに近くなります。distill.drop_target は正解をリストから除き（full_catalog_ce では無効）、teacher.folds はそのユーザーを見ていない教師にリストを書かせます。
lists_caption = リストの中での正解の位置。リストにない正解の確率は 0 とします。
strength_text = distill.weight と distill.dropout の auto は、データに応じて決まります。蒸留モデルの学習では重み { $weight }、ドロップアウト { $dropout } を使いました。
strength_plain = 生徒モデルと同じ値
strength_why = 1 アイテムあたりの学習イベントは平均 { $events } 件です。{ $limit } 件未満では、リストの重みを下げます。

## Missing parts

no_data = データの記録がありません。
no_metrics = この実験のモデルはまだ評価されていません。
no_tests = モデルが 1 つだけなので比較はありません。
knowledge = 教師モデルによる増分が、そのまま LLM の知識を示すわけではありません。既定の教師モデルでは、重みを行列ごとにシャッフルしても性能は同じでした（docs/experiments.md）。加わるのは、タイトルの埋め込みを入力とする 2 つ目の系列モデルです。LLM の効果と判断する前に、この対照実験を行ってください。
no_teacher = この実験では教師モデルを学習していません。
no_outputs = 教師の出力が書き出されていない（export.enabled: false、または未実行の）ため、蒸留は行われていません。
no_distilled = この実験では蒸留がまだ行われていません。
no_curves = 学習の記録がありません。
no_cost = 時間の記録がありません。
no_gate = ゲートがないか、ゲートの記録がありません。
setting = 設定項目
asked = 指定値
in_effect = 有効か
seen = 観測された内容
yes = 有効
not_in_effect = 無効
settings_caption = 各設定と、教師モデルの学習・出力時に観測された内容。
settings_without_trace = 次の設定は痕跡がなく、有効になっていませんでした: { $keys }。
no_evidence = 教師モデルの実行内容の記録がありません。
## What was seen of a setting

seen_products = 行列積: { $products }、凍結した重み: { $frozen }
seen_quantised = 量子化レイヤー { $layers } 個、カーネル: { $kernels }
seen_no_four_bit = 4 ビットレイヤーなし
seen_double = { $layers } レイヤー中 { $nested } レイヤー
seen_compute = 4 ビットレイヤーの計算型: { $types }
seen_kernels = カーネル: { $kernels }
seen_softmaxes = softmax { $softmaxes } 回
seen_graphs = グラフ { $graphs } 個（うちウォームアップ後 { $late } 個）
seen_cuda_graphs = CUDA グラフ { $graphs } 個
seen_block_runs = ブロックの呼び出し { $calls } 回、実行 { $runs } 回
seen_nothing_read = 読み込みなし
seen_padding = パディング { $share }、バッチ幅 { $widths } 種類、パック済みバッチ { $packed } 個
seen_not_told_apart = bucketed と longest は区別不可
seen_accumulated = 1 ステップあたり最大 { $most } マイクロバッチ
seen_batch_tokens = マイクロバッチあたり最大 { $largest } トークン、合計 { $total } トークン
seen_batch_size_unread = batch_tokens の指定により未使用
seen_batch_size = マイクロバッチあたり最大 { $most } プロンプト
seen_workers = ワーカー別バッチ数: { $workers }
seen_export_batch = 全 { $prompts } プロンプト、バッチあたり最大 { $most } プロンプト
seen_any_size = サイズは自動決定
seen_reused = キャッシュから再利用 { $tokens } トークン
seen_blocks = { $blocks } ブロック
seen_history = 入力した履歴は最長 { $items } アイテム
seen_gate = 使用中のゲート: { $kind }
seen_titles_weight = 検証で決まったタイトル類似度の重み { $weight }
seen_no_decay = 減衰率は観測対象外
seen_nothing_embedded = 埋め込みなし
seen_pooling = プーリング: { $pooling }
seen_limit = 1 テキストあたり最大 { $most } トークン、{ $texts } 件中 { $cut } 件を切り詰め
seen_no_limit = 長さの上限なし、{ $texts } 件中 { $cut } 件を切り詰め
seen_behind = 前置プロンプト { $prompt }
seen_no_modules = 埋め込み方法の記載なし（modules.json がない）
seen_targets = { $prompts } プロンプトから { $targets } 件を予測
seen_adapter_rank = アダプターのランク: { $found }
seen_experts = ゲートが重み付けするエキスパート数: { $found }
seen_prompt = アイテムのトークンに対応するプロンプト: { $found }
seen_head = ヘッド: { $found }
seen_adapted = アダプター付きレイヤー: { $layers }
seen_lists = 全 { $items } アイテム中 { $length } 件のリスト
seen_states = 保存したユーザー埋め込みの次元: { $width }
seen_not_looked_for = 確認手段なし
pooling_title_tokens = タイトルのトークンの平均
pooling_no_titles = タイトルなし
attention_as_configured = 指定どおり
attention_runs = auto: この環境で実行可能
attention_no_cuda = auto: flash_attention_2 には CUDA デバイスが必要（今回は CPU で実行）
attention_not_installed = auto: flash_attention_2 に必要なパッケージ flash-attn が未インストール
attention_full_precision = auto: flash_attention_2 は半精度のみ対応

## Phases

phase_batch_size = バッチサイズの決定
phase_candidates = 候補での順位付け
phase_checkpoint = チェックポイント
phase_compile = コンパイル
phase_data_wait = データ待ち
phase_embed_titles = タイトルの埋め込み
phase_export = 教師出力の生成
phase_filter = フィルター
phase_import = インポート
phase_known_targets = 正解の記憶の測定
phase_load_LLM = LLM の読み込み
phase_load_data = データの読み込み
phase_matmul_peak = 行列積の最高速度
phase_quality = 品質の測定
phase_report = レポート
phase_selection = 選択
phase_set_up = 準備
phase_split = 分割
phase_statistics = 統計
phase_strength = 蒸留の強さの決定
phase_target_memorisation = 正解の記憶の測定
phase_test = テスト
phase_title_map = タイトルの写像
phase_train_step = 学習ステップ
phase_validation = 検証
phase_warm_up = ウォームアップ
phase_write = 書き込み
phase_load = { $model }の読み込み
phase_rank = { $model }の順位付け


# ---- bench ----
bench_made = { $cells } 条件 { $asked } 回の実行のうち { $finished } 回が完了（{ $started } ～ { $ended } UTC、正味の処理時間 { $total }）。
bench_incomplete = { $missing } 回が未実行です。同じコマンドで続きから実行できます。
bench_contents_method = 測定方法
bench_contents_overview = 工程別の時間とメモリ
bench_contents_tradeoff = 速度と品質
bench_contents_conclusions = 結論
bench_method_cells = 各実行は独立したプロセスで行い、スレッド数を { $threads } に固定し、{ $limit } を超えたら打ち切ります。計測の前に、最長と最短のバッチで順伝播と逆伝播を 1 回ずつ行います（ウォームアップ。コンパイルする設定では compile）。
bench_method_sample = 学習ターゲット { $rows } 件を 1 回学習し、その前後に検証ユーザー { $users } 人を順位付けし、{ $exported } 件の教師出力を書き出します。標本は 1 つのシードで抽出し、全条件で共通です。テストは { $tested } 件の履歴を読む時間だけを計測し、テスト指標は計算しません。
bench_method_turns = { $repeats } 巡し、巡ごとに開始する条件をずらします。条件どうしは巡ごとの比で比較し、中央値と、括弧内に最小 ～ 最大を示します。
bench_method_noise = ノイズは実測します。{ $pairs } はまったく同じ設定なので、両者の差はすべてノイズです。各指標のノイズ幅は観測された最大の比（最低 { $least }）とし、全巡がノイズ幅の外の同じ側にある場合だけを「差」と呼びます。
bench_method_luck = この規則では、等しい 2 条件でも、{ $turns } 巡の比較の約 { $chance } が偶然「差」と判定されます（独立な正規ノイズによるシミュレーション）。ここで行った { $count } 件の比較では約 { $expected } 件にあたり、ノイズが一定時間続く場合はさらに増えます。
bench_method_other_work = ノイズ幅は { $pairs } だけで測りました。{ $others } の比較、またはこれらとの比較は作業内容が異なり、専用の A/A ペアがないため、実際のノイズはこれより大きいことも小さいこともあります。
bench_method_quality = 速度には必ず品質（学習後の検証 NDCG@10）を併記します。差の 95 % 区間はユーザー単位の対応のあるブートストラップです。短い学習 1 回なので、設定の害の有無は分かりますが、到達品質は分かりません。
bench_method_evidence = 実際に効いていた証拠のない設定は、時間にかかわらず「未適用」とし、「差なし」とは呼ばず、その条件からは何も結論しません。確認する手段のない設定は「判定対象外」とします。
bench_method_mfu = 利用率は、実トークンに必要な演算数（パディングと再計算を除く）を、時間と、同じプロセス・同じ型で測った行列積の最高速度（{ $peaks }）で割った値です。
bench_memory_cuda = メモリは CUDA アロケーターのピーク値です。
bench_memory_cpu = メモリはプロセスの常駐メモリのピーク値で、ライブラリの分（読み込み直後で約 { $import_gib } GiB）を含みます。
bench_mixed_machines = 行によって測定時のマシンまたはソフトウェアが異なるため、その間の比較にはほとんど意味がありません。
bench_pair_caption = ノイズ幅（{ $pairs } の全巡から）。
bench_no_pair = A/A ペアが未実行のため、差とノイズを区別できません。

## Bench: Metrics

bench_train_seconds = 学習
bench_train_memory = 学習時ピークメモリ
bench_validation_seconds = 検証
bench_test_seconds = テスト読み出し
bench_export_seconds = 教師出力生成
bench_export_memory = 生成時ピークメモリ
bench_floor_header = ノイズ幅

## Bench: Tables

bench_cell = 条件
bench_train_s = 学習（秒）
bench_step_s = 秒/ステップ
bench_against = { $against } 比
bench_rows_s = 行/秒
bench_targets_s = ターゲット/秒
bench_tokens_s = 有効トークン/秒
bench_padding = パディング
bench_mfu = 演算利用率
bench_ndcg = NDCG@10 前 → 後
bench_ndcg_difference = { $against } との差
bench_export_s = 生成（秒）
bench_peak_export = 生成 GiB
bench_peak_train = 学習 GiB
bench_verdict = 判定
bench_asked = 要求
bench_seen = 確認
bench_nothing_seen = なし
bench_in_effect = 適用
bench_yes = はい
bench_no = いいえ
bench_not_judged = 判定対象外
bench_speed_caption = 学習の速度（巡の中央値）。利用率は有効トークンのみを数えます。
bench_training_caption = 学習と品質。巡の中央値［最小, 最大］。学習時間は学習ステップとデータ待ちの合計です。
bench_export_caption = 教師出力生成（推論と書き込み）。巡の中央値［最小, 最大］。
bench_times_caption = 工程別の秒数（巡の中央値）。
bench_memory_caption = 工程別ピークメモリ（GiB、巡の中央値）。
bench_evidence_caption = 要求した設定と実行時の確認結果。
bench_times_figure = 工程別の秒数（巡の中央値）。
bench_memory_figure = 工程別ピークメモリ（GiB、巡の中央値）。
bench_tradeoff_figure = 学習速度と学習後の NDCG@10。基準と差のある条件に名前を付け、横線は基準の NDCG@10 です。

## Bench: Verdicts

bench_verdict_base = 比較対象
bench_verdict_slower = 遅い
bench_verdict_faster = 速い
bench_verdict_more = メモリ増
bench_verdict_less = メモリ減
bench_verdict_noise = ノイズの範囲内
bench_verdict_not_in_effect = 未適用
bench_verdict_refused = 実行不可
bench_verdict_failed = 失敗
bench_verdict_out_of_memory = メモリ不足
bench_verdict_timed_out = 時間切れ
bench_verdict_missing = 未実行
bench_verdict_against = 比較対象: { $what }
bench_verdict_unknown = 巡が不足

## Bench: Sentences

bench_slower = { $metric }は { $factor } 倍遅い（{ $low }～{ $high } 倍）
bench_faster = { $metric }は { $factor } 倍速い（{ $low }～{ $high } 倍）
bench_percent = { $metric }は { $percent }（{ $low } ～ { $high }）
bench_inside = ノイズの範囲内: { $metrics }
bench_quality_clear = NDCG@10 は { $difference }（{ $low } ～ { $high }）
bench_quality_level = NDCG@10 に検出できる差なし（{ $low } ～ { $high }）
bench_quality_same = NDCG@10 は全ユーザーで同じ
bench_finding = { $cell }（{ $against } 比）: { $parts }。
bench_trouble = { $cell }: { $what }（{ $reason }）
bench_missing = { $cell }: 未実行。
bench_ineffective = { $cell }: { $keys } が効いていた証拠がないため未適用。時間はこの設定について何も示しません。
bench_no_reference = { $cell }: 判定できません。比較対象の { $against } は「{ $what }」です。
bench_unjudged = 適用の有無は判定対象外: { $keys }
bench_no_floor = { $cell }: 判定できません。比較対象および A/A ペアと共通の 3 巡が必要です。
bench_partly = { $turn } 巡目は{ $what }

## Bench: 2×2

bench_factorial_caption = 4 条件の分解: 各設定の効果（もう一方の設定について平均）と、両方を合わせたときの上乗せ（交互作用）。巡の中央値［最小, 最大］。
bench_effect = 効果
bench_interaction = 交互作用
bench_effect_verdict = 差
bench_factorial_missing = 4 条件のすべてを使えるわけではないため、2×2 の分解はできません: { $cells }。
bench_factorial_turns = 4 条件または A/A ペアに共通の巡が { $turns } 未満のため、2×2 の分解はできません。
bench_factorial_shares = 両方を合わせると { $metric }は { $neither } から { $total } { $unit }。{ $first } のみで { $one }、{ $second } のみで { $two }。

## Bench: Compile

bench_payback = { $cell }: コンパイルは { $against } のウォームアップより { $price } 長く、1 ステップあたり { $saved } 短縮。{ $steps } ステップ目で元が取れます。
bench_payback_never = { $cell }: コンパイルは { $against } のウォームアップより { $price } 長く、ノイズを超える短縮がないため、元が取れることはありません。

## Bench: Reproduce

bench_bench_reproduce = 中断した場合は同じコマンドで続きから実行し、足りない分だけを測ります。全行は results.jsonl にあります。
bench_matrix = 実験の定義
