## Names

popularity = 人気順ベースライン
cooccurrence = 共起ベースライン
item_knn = ItemKNN ベースライン
ease = EASE ベースライン
student = 生徒モデル
titled = タイトルを見る生徒モデル
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
made = 実行期間: { $started } ～ { $finished }（UTC）、処理時間: { $total }
tables_scroll = 表は横にスクロールできます。
contents_data = データ
contents_summary = 要約
contents_results = 結果
contents_tests = 対応のある検定
contents_popularity = 正解アイテムの人気度別の結果
contents_history_length = 履歴の長さ別の結果
contents_candidates = サンプリング評価
contents_curves = 学習曲線
contents_cost = 時間とメモリ
contents_gate = ゲート
contents_lists = 学習ターゲットに対する教師出力
contents_evidence = 設定の適用状況
contents_environment = 実行環境
contents_reproduce = 再現方法

## Summary

best = NDCG@10 が最も高いのは「{ $model }」の { $value }（95 % 信頼区間 { $low } ～ { $high }）です。{ $how }
how = 全アイテムのランキングによる評価です（{ $split }データ { $rows } 件、ユーザー { $users } 人、{ $items } アイテム、{ $seen }）。
seen_filtered = 履歴のアイテムは除外
seen_kept = 履歴のアイテムも対象
repeats = 正解 { $rows } 件のうち { $repeats } 件は、ユーザーの履歴に含まれるアイテムです。履歴のアイテムを除外しているため、どのモデルでも不正解になります。順位付けの対象にするには、evaluate.filter_seen を false にします。
clearly_above = 「{ $a }」は「{ $b }」を NDCG@10 で { $difference } 上回ります（{ $interval }、{ $p }）。ユーザー間のばらつきを超える差です。
clearly_below = 「{ $a }」は「{ $b }」を NDCG@10 で { $difference } 下回ります（{ $interval }、{ $p }）。ユーザー間のばらつきを超える差です。
perhaps = 「{ $a }」と「{ $b }」の NDCG@10 の差は { $difference } です（{ $interval }、{ $p }）。信頼区間は 0 を含みませんが、多重比較の補正後は有意ではないため、判定は保留です。
undecided = 「{ $a }」と「{ $b }」の NDCG@10 の差は { $difference } です（{ $interval }、{ $p }）。
level = 「{ $a }」と「{ $b }」の間に有意差はありません（NDCG@10 の差 { $difference }、{ $interval }、{ $p }）。
baseline_left_out = アイテム数 { $items } 件が evaluate.{ $name }_items の上限（{ $most } 件）を超えるため、「{ $model }」は評価していません。
baseline_ahead = 反復学習を行わない「{ $b }」が「{ $a }」を上回っています。「{ $a }」を使う前に、データと設定を確認してください。
interval_holds_zero = p { $p } ですが、信頼区間は 0 を含みます。信頼区間はブートストラップ、p 値は符号反転検定で求めるため、0.05 付近では結論が一致しないことがあります。差の有無は判断できません。
interval_without_zero = p { $p } ですが、信頼区間は 0 を含みません。信頼区間はブートストラップ、p 値は符号反転検定で求めるため、0.05 付近では結論が一致しないことがあります。差の有無は判断できません。
seeds_held_fixed = p { $p } と信頼区間の結論が一致しません。この p 値は旧バージョンのもので、シードを固定しています。シードのばらつきを含む信頼区間を参照してください。
one_seed = 結果は 1 つの学習シードによるものです。シードを変えると、同程度に数値が変わることがあります。信頼区間と p 値が表すのはユーザー間のばらつきだけです。複数のシードは recdistill compare で比較できます。
interval_text = 95 % 信頼区間 { $low } ～ { $high }
p_text = p{ "\u00A0" }{ $p }、Holm 補正後 { $p_holm }

## Tables and figures

model = モデル
coverage = カバレッジ@10
mean_popularity = 平均人気度@10
novelty = 新規性@10
results_caption = { $how }角括弧内は 95 % 信頼区間です（ユーザー単位のブートストラップ { $samples } 回）。HR はヒット率で、正解が 1 件ずつのため Recall と等しくなります。カバレッジは、上位 10 件のいずれかに現れたアイテムの割合です。平均人気度は、上位 10 件のアイテムの学習データでの平均出現回数です。新規性は自己情報量（ビット）の平均で、珍しいアイテムほど大きくなります。
results_figure = NDCG@10 とヒット率@10。横線は 95 % 信頼区間です。区間が重なっていても、ユーザーごとに比較する対応のある検定で差が出ることがあります。
metric = 指標
difference = 差
interval = 95 % 信頼区間
p = p 値
p_holm = p 値（Holm）
result = 判定
result_clear = 有意差あり
result_perhaps = 保留
result_level = 有意差なし
result_with_reason = { $result }。{ $reason }
tests_caption = ユーザーごとの差の符号反転検定です（並べ替え { $permutations } 回）。指標ごとに全ペアで Holm 補正を行いました。信頼区間が 0 を含む場合は「有意差なし」です。0 を含まず、補正後の p 値が 0.05 未満なら「有意差あり」、0.05 以上なら「保留」です。
first_of = HR@1（{ $size } 件中）
candidates_text = LLaRA と iLoRA の評価方法です。正解 1 件と、履歴にないアイテムから無作為抽出した { $random } 件（全モデル共通）を順位付けします。全アイテムのランキングよりはるかに易しく、論文の数値と比べるための参考値です。
candidates_caption = 正解が 1 位になった割合。角括弧内は 95 % 信頼区間です。対応のある検定の結果は metrics.json にあります。
candidates_left_out = { $rows } 件のうち { $left_out } 件は、履歴にないアイテムが { $random } 件に満たないため、表に含まれません。
slice_span = { $first }～{ $last }
slice_cold = コールド（{ $span } 回）
slice_popularity = { $span } 回
slice_history_length = { $span } 件
target_popularity = 正解の学習データでの出現回数
history_length = 正解より前のアイテム数
rows = 件数
slice_caption = 区分ごとの NDCG@10。角括弧内は 95 % 信頼区間です。
slice_figure = 区分ごとの NDCG@10。縦線は 95 % 信頼区間です。左ほど値の小さい区分です。
slice_tests_caption = 区分ごとの NDCG@10 の差。全区分・全ペアで Holm 補正を行いました。
drawn_loss = { $model }: 学習損失
drawn_validation = { $model }: 検証 NDCG@10
drawn_user = ユーザー
epoch = エポック
expert = エキスパート { $number }
weight = 重み
curves_figure = 左: エポックごとの平均学習損失（nat）。右: 検証データの NDCG@10。点は採用したエポックです。
curves_caption = 学習の概要。検証スコアが最良だった時点の重みを採用しました。
best_validation = 検証 NDCG@10 の最良値
at_epoch = 採用エポック
epochs = エポック数
optimiser_steps = ステップ数
targets_seen = 学習ターゲット数（延べ）
seconds = 秒
step = 工程
phase = フェーズ
rss = 最大 RSS（GiB）
allocated = GPU 最大割り当て（GiB）
total = 合計
cost_caption = フェーズは重複しません。メモリは、フェーズ中のプロセス全体の最大値です（RSS は CPU 側の常駐メモリ）。
time_figure = フェーズ別の所要時間（秒）。最長フェーズの 1 % 未満のものは表にのみ記載しています。
memory_figure = 工程別の最大メモリ（GiB）。rss は CPU 側の常駐メモリ、allocated は GPU 側の割り当て量です。
gate_figure = 一部のユーザー（ID で表示）に対する { $experts } 個のエキスパートの重み。均等な場合は各 { $uniform } です。
gate_text = 重みの平均エントロピーは { $entropy } nat です（全エキスパートが均等な場合に最大値 { $maximum }）。ユーザー間の重みの標準偏差は { $std } です。ただし、重みが異なるだけでは精度の向上を意味しません。これまでに試したどのデータでも、ゲートのある教師モデルはゲートのない教師モデルより高精度ではありませんでした（docs/experiments/teacher.md）。
key = 項目
value = 値
events = インタラクション
users = ユーザー
items = アイテム
train_targets = 学習ターゲット
validation_targets = 検証ターゲット
test_targets = テストターゲット
titles_missing = タイトルのないアイテム
items_unmatched = アイテムファイルにないアイテム
second_titles = アイテムファイルで複数のタイトルを持つアイテム（最初のものを使用）
dropped = { $filter } による除外
bad_rows = 読み取れなかった行
tied_events = 直前と同時刻のインタラクション
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
mixed_environment = 工程によって実行環境が異なります。表は最後の工程のものです。環境が異なる工程: { $steps }。
configuration = 設定
reproduce = 次の設定を config.yaml として保存し、run に別のフォルダーを指定して実行します。CPU では、同じマシンと同じシードで同じ数値になります。
evidence_text = 設定ファイルではなく、読み込んだモデルから取得した内容です。
targets = ターゲット
number = 件数
probability = 正解の確率
entropy = エントロピー (nat)
lists_text = 蒸留モデルは、学習ターゲットに対する教師モデルのリストから学習します。教師モデルは、学習に使った正解を記憶している場合があります。学習ターゲットでの精度が検証より高いほど、リストは正解そのものに近くなります。distill.drop_target を使うと、正解をリストから除外できます（full_catalog_ce では無効）。teacher.folds を使うと、そのユーザーを学習していない教師モデルがリストを出力します。
lists_caption = リスト内での正解の順位と確率。リストにない正解の確率は 0 です。
strength_text = distill.weight と distill.dropout が auto の場合、値はデータから決まります（重み: { $weight }、ドロップアウト: { $dropout }）。
strength_plain = 生徒モデルと同じ値
strength_why = 1 アイテムあたりの学習インタラクションは平均 { $events } 件です。{ $limit } 件未満の場合は、蒸留の重みを下げます。

## Missing parts

no_data = データの記録がありません。
no_metrics = この実験のモデルはまだ評価していません。
no_tests = モデルが 1 つのため、比較はありません。
knowledge = 教師モデルによる改善が、そのまま LLM の知識を示すわけではありません。既定の教師モデルでは、重みを行列ごとにシャッフルしても同等の精度でした（docs/experiments/pretraining.md）。教師モデルが加えるのは、タイトルの埋め込みを入力とする 2 つ目の系列モデルです。LLM の効果と判断する前に、この対照実験を行ってください。
knowledge_worth = 事前学習で得た知識の効果（{ $metric }）: { $variant } と { $control } の差（{ $weights }）。
knowledge_of = { $model }: { $gain }（{ $difference }、95 % 信頼区間 { $low } ～ { $high }、p { $p }）。
knowledge_level = 差は検出できません。
knowledge_no_control = 事前学習で得た知識の効果は不明です。{ $control } はこの実験の対照ではありません。モデルの重み（teacher.llm_weights、teacher.title_encoder_weights）以外の設定も異なるか、重みの設定が同じです。
knowledge_lost = この実験は対照です。モデルは学習済みの知識を失っています（{ $weights }）。
no_teacher = この実験では教師モデルを学習していません。
no_outputs = 教師出力がないため、蒸留を行っていません（export.enabled: false、または未実行）。
no_distilled = この実験では、まだ蒸留を行っていません。
no_curves = 学習の記録がありません。
no_cost = 時間の記録がありません。
no_gate = ゲートがないか、ゲートの重みの記録がありません。
setting = 設定項目
asked = 指定値
in_effect = 適用状況
seen = 観測内容
yes = 適用
not_in_effect = 未適用
settings_caption = 設定と、教師モデルの学習・書き出し時の観測内容。
settings_without_trace = 次の設定は、適用された形跡がありません: { $keys }。
no_evidence = 教師モデルの実行記録がありません。
## What was seen of a setting

seen_products = 行列積: { $products }、凍結した重み: { $frozen }
seen_quantised = 量子化レイヤー { $layers } 個、カーネル: { $kernels }
seen_no_four_bit = 4 ビットレイヤーなし
seen_double = { $layers } レイヤー中 { $nested } レイヤー
seen_quantised_share = ブロックの重みの { $share } を量子化
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
seen_sequences = 系列は最長 { $items } アイテム、注意の範囲は { $window } アイテム
seen_gate = 使用中のゲート: { $kind }
seen_titles_weight = 検証で決まったタイトル類似度の重み { $weight }
seen_no_decay = 減衰率は観測対象外
seen_nothing_embedded = 埋め込みなし
seen_nothing_loaded = 該当するモデルは読み込まれていません
seen_pretrained = 事前学習済みの重み（変更なし）
seen_weights = { $matrices } 個の行列（{ $values } 個の値）を置き換え、事前学習済みの重みとの相関は { $correlation }
seen_not_tuned = タイトルエンコーダーの追加学習なし
seen_tuned = { $parameters } 個のパラメーターを { $steps } ステップ学習、損失は最初 { $first }、最後 { $last }
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
attention_counts_items = auto: ストリームの窓はアイテム数で数えるため、sdpa だけが使えます
attention_no_flash = auto: transformers にこの言語モデル用の flash_attention_2 がありません
attention_only_eager = auto: transformers の { $kind } モデルにはほかの attention 実装がありません
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
phase_similar_titles = タイトルの類似度
phase_train_step = 学習ステップ
phase_tune_titles = タイトルの追加学習
phase_validation = 検証
phase_warm_up = ウォームアップ
phase_write = 書き込み
phase_load = { $model }の読み込み
phase_rank = { $model }の順位付け

## Comparisons of runs

variant = 条件
seeds = シード数
mean = 平均
std = 標準偏差
gain = 改善率
slice = 区分
core_seconds = コア秒
of_metric = { $metric }。{ $how }
in_slices = { $axis }別の { $metric }（検定なし）
no_popularity_slices = { $axis }別の表はありません。学習に使ったユーザーが実験ごとに異なるためです。
nothing_compared = 条件が 1 つで基準もないため、差はありません。信頼区間: シードとユーザーのブートストラップ。
compared_with = 差は { $names } に対する値です。信頼区間: シードとユーザーのブートストラップ { $samples } 回。p: シード平均したユーザーごとの差の符号反転検定{ $p_seeds }（{ $permutations } 回の置換）。Holm 補正は { $tests }。
p_with_seeds = （シードも再抽出）
one_test = 検定 1 件
several_tests = 検定 { $tests } 件
device_not_recorded = 記録なし
devices_differ = デバイスが異なるため、コストは比較できません: { $devices }。
one_device = デバイス: { $device }。

# ---- bench ----
bench_made = { $cells } 条件、計 { $asked } 回の実行のうち { $finished } 回が完了しました（{ $started } ～ { $ended } UTC、処理時間 { $total }）。
bench_incomplete = { $missing } 回が未実行です。同じコマンドで再開できます。
bench_contents_method = 測定方法
bench_contents_overview = フェーズ別の時間とメモリ
bench_contents_tradeoff = 速度と品質
bench_contents_conclusions = 結論
bench_method_cells = 各実行は独立したプロセスで行い、スレッド数を { $threads } に固定します。{ $limit } を超えた場合は打ち切ります。計測前に、最長と最短のバッチで順伝播と逆伝播を 1 回ずつ実行します（ウォームアップ。コンパイルを使う条件ではコンパイルも行います）。
bench_method_sample = 学習ターゲット { $rows } 件を 1 回学習し、その前後に検証ユーザー { $users } 人で評価します。教師出力は { $exported } 件を書き出します。データは 1 つのシードで抽出し、全条件で共通です。テストデータは { $tested } 件の履歴を時間の計測だけに使い、指標は計算しません。
bench_method_turns = { $repeats } 回繰り返し、各回の開始条件をずらします。条件は同じ回の中で比で比較します。表は中央値で、括弧内は最小値と最大値です。
bench_method_noise = ノイズは実測値です。{ $pairs } は設定が同一のため、両者の差はすべてノイズです。各指標のノイズフロアは、観測された最大の比とします（{ $least } 以上）。全反復が同じ方向にノイズフロアを超えた場合だけ、差ありと判定します。
bench_method_luck = この基準では、同等の 2 条件でも、{ $turns } 回反復の比較の約 { $chance } が偶然「差あり」になります（独立な正規ノイズによるシミュレーション）。今回の { $count } 件の比較では約 { $expected } 件に相当します。持続するノイズがある場合は、さらに増えます。
bench_method_other_work = ノイズフロアは { $pairs } だけで測定しました。{ $others } を含む比較は処理内容が異なり、専用の A/A ペアがありません。実際のノイズはこれより大きい場合も小さい場合もあります。
bench_method_quality = 速度には必ず品質（学習後の検証 NDCG@10）を併記します。差の 95 % 信頼区間は、ユーザー単位の対応のあるブートストラップによります。短い学習 1 回から分かるのは設定の悪影響の有無であり、最終的な品質ではありません。
bench_method_evidence = 適用された形跡のない設定は、時間にかかわらず「未適用」とし、その条件からは結論を出しません。観測できない設定は「判定対象外」とします。
bench_method_mfu = 演算利用率は、実トークンに必要な演算数（パディングと再計算を除く）を、所要時間と行列積の最高速度（{ $peaks }）で割った値です。最高速度は、同じプロセスと同じ型で測定します。
bench_memory_cuda = メモリは CUDA アロケーターのピーク値です。
bench_memory_cpu = メモリはプロセスの常駐メモリのピーク値です。ライブラリの分（読み込み直後で約 { $import_gib } GiB）を含みます。
bench_mixed_machines = マシンまたはソフトウェアの異なる行があります。その間の比較は信頼できません。
bench_pair_caption = ノイズフロア（{ $pairs } の全反復から算出）。
bench_no_pair = A/A ペアが未実行のため、差とノイズを区別できません。

## Bench: Metrics

bench_train_seconds = 学習
bench_train_memory = 学習時ピークメモリ
bench_validation_seconds = 検証
bench_test_seconds = テストデータの読み取り
bench_export_seconds = 教師出力の書き出し
bench_export_memory = 書き出し時ピークメモリ
bench_floor_header = ノイズフロア

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
bench_export_s = 書き出し（秒）
bench_peak_export = 書き出し（GiB）
bench_peak_train = 学習（GiB）
bench_outcome = 判定
bench_asked = 指定値
bench_seen = 観測内容
bench_nothing_seen = なし
bench_in_effect = 適用状況
bench_yes = 適用
bench_no = 未適用
bench_not_judged = 判定対象外
bench_speed_caption = 学習の速度（反復の中央値）。演算利用率は実トークンだけを数えます。
bench_training_caption = 学習と品質。反復の中央値［最小, 最大］です。学習時間は学習ステップとデータ待ちの合計です。
bench_export_caption = 教師出力の書き出し（推論と書き込み）。反復の中央値［最小, 最大］です。
bench_times_caption = フェーズ別の秒数（反復の中央値）。
bench_memory_caption = フェーズ別のピークメモリ（GiB、反復の中央値）。
bench_evidence_caption = 各条件の指定値と観測内容。
bench_drawn_speed = 1 秒あたりの学習ターゲット数
bench_drawn_quality = 検証 NDCG@10
bench_times_figure = フェーズ別の秒数（反復の中央値）。
bench_memory_figure = フェーズ別のピークメモリ（GiB、反復の中央値）。
bench_tradeoff_figure = 学習速度と学習後の NDCG@10。基準と差のある条件だけに名前を付けています。横線は基準の NDCG@10 です。

## Bench: Verdicts

bench_outcome_base = 基準
bench_outcome_slower = 遅い
bench_outcome_faster = 速い
bench_outcome_more = メモリ増
bench_outcome_less = メモリ減
bench_outcome_noise = ノイズの範囲内
bench_outcome_not_in_effect = 未適用
bench_outcome_refused = 実行不可
bench_outcome_failed = 失敗
bench_outcome_out_of_memory = メモリ不足
bench_outcome_timed_out = 時間超過
bench_outcome_missing = 未実行
bench_outcome_against = 基準: { $what }
bench_outcome_unknown = 反復不足

## Bench: Sentences

bench_slower = { $metric }は { $factor } 倍の時間（{ $low }～{ $high } 倍）
bench_faster = { $metric }は { $factor } 倍速い（{ $low }～{ $high } 倍）
bench_percent = { $metric }は { $percent }（{ $low } ～ { $high }）
bench_inside = ノイズの範囲内: { $metrics }
bench_quality_clear = NDCG@10 は { $difference }（{ $low } ～ { $high }）
bench_quality_level = NDCG@10 は有意差なし（{ $low } ～ { $high }）
bench_quality_same = NDCG@10 は全ユーザーで同じ
bench_finding = { $cell }（{ $against } 比）: { $parts }。
bench_trouble = { $cell }: { $what }（{ $reason }）
bench_trouble_quoted = { $cell }: { $what }。プログラムの出力（英語のまま）: { $reason }
bench_over_time = { $seconds } 秒を超過
bench_killed = メモリ不足により OS が強制終了
bench_missing = { $cell }: 未実行。
bench_ineffective = { $cell }: { $keys } が適用された形跡がないため、未適用です。時間はこの設定の効果を示しません。
bench_no_reference = { $cell }: 判定できません。基準の { $against } は「{ $what }」です。
bench_unjudged = 適用の有無は判定対象外: { $keys }
bench_no_floor = { $cell }: 判定できません。この条件、基準、A/A ペアのそれぞれに 3 回の反復が必要です。
bench_partly = { $turn } 回目は{ $what }

## Bench: 2×2

bench_factorial_caption = 2 つの設定の効果。各設定の効果（もう一方の設定について平均）と交互作用です。反復の中央値［最小, 最大］です。
bench_effect = 効果
bench_interaction = 交互作用
bench_effect_differs = 差あり
bench_factorial_missing = 4 条件の一部を使えないため、効果を分離できません: { $cells }。
bench_factorial_turns = 4 条件と A/A ペアに共通の反復が { $turns } 回未満のため、効果を分離できません。
bench_factorial_shares = 両方を適用すると、{ $metric }は { $neither } から { $total } { $unit } 変化します。{ $first } のみでは { $one }、{ $second } のみでは { $two } です。

## Bench: Compile

bench_payback = { $cell }: コンパイルは { $against } のウォームアップより { $price } 長く、1 ステップあたり { $saved } 短縮します。{ $steps } ステップ目から有利になります。
bench_payback_never = { $cell }: コンパイルは { $against } のウォームアップより { $price } 長く、ノイズを超える短縮はありません。有利になることはありません。

## Bench: Reproduce

bench_bench_reproduce = 中断した場合は、同じコマンドで再開し、不足分だけを実行します。全データは results.jsonl にあります。
bench_matrix = 実験の定義
