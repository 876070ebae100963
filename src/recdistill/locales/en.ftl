## Names

popularity = popularity baseline
cooccurrence = co-occurrence baseline
item_knn = ItemKNN
ease = EASE
student = student
teacher = teacher
distilled = distilled student
oracle = oracle
split_test = test
split_validation = validation
step_prepare = prepare
step_student = student
step_teacher = teacher
step_teacher_outputs = teacher outputs
step_distilled = distilled student
step_evaluation = evaluation
both = { $one } and { $other }
separator = ; { "" }
minus = { $a } - { $b }
hours = { $hours } h { NUMBER($minutes, minimumIntegerDigits: 2) } min
minutes = { $minutes } min { NUMBER($seconds, minimumIntegerDigits: 2) } s
some_seconds = { $seconds } s

## Page

title = Report of { $run }
made = From { $started } to { $finished } (UTC); { $total } of work.
tables_scroll = The table scrolls sideways.
contents_data = Data
contents_summary = Summary
contents_results = Results
contents_tests = Paired tests
contents_popularity = By popularity of the target
contents_history_length = By length of the history
contents_candidates = Among random candidates
contents_curves = Learning curves
contents_cost = Time and memory
contents_gate = Gate
contents_lists = The teacher's lists
contents_evidence = What the teacher really ran
contents_environment = Environment
contents_reproduce = Reproduce

## Summary

best = The { $model } has the highest NDCG@10: { $value } (95 % interval { $low } to { $high }). { $how }
how = Ranked: { $rows } targets ({ $split } split) of { $users } users among all { $items } items, { $seen }.
seen_filtered = items already in the history left out
seen_kept = items already in the history kept
repeats = { $repeats } of { $rows } targets repeat an item of their own history. Such items are left out of the ranking, so these targets count as misses for every model. To rank them, set evaluate.filter_seen to false.
clearly_above = The { $a } is above the { $b } by { $difference } NDCG@10 ({ $interval }, { $p }): more than the noise of users.
clearly_below = The { $a } is below the { $b } by { $difference } NDCG@10 ({ $interval }, { $p }): more than the noise of users.
perhaps = Between the { $a } and the { $b } a difference of { $difference } NDCG@10 is likely, not certain ({ $interval }, { $p }): alone it would count, among all comparisons made here it may be chance.
level = Between the { $a } and the { $b } there is no detectable difference: { $difference } NDCG@10 ({ $interval }, { $p }).
baseline_ahead = The { $b }, which is counted and not trained, ranks above the { $a } here: look at the data and the settings before the { $a } is used.
interval_holds_zero = The interval includes 0 although p { $p }: it is cut from bootstrap resamples, p counts sign flips, and close to 0.05 the two may part; take the difference as undecided.
interval_without_zero = The interval excludes 0 although p { $p }: it is cut from bootstrap resamples, p counts sign flips, and close to 0.05 the two may part; take the difference as undecided.
seeds_held_fixed = Interval and p { $p } differ since this p, of an earlier version, holds the seeds fixed and the interval does not; the interval counts.
one_seed = All of it is from one training seed; another seed may move these figures by as much. Intervals and p values are over users alone; several seeds are compared by recdistill compare.
interval_text = 95 % interval { $low } to { $high }
p_text = p{ "\u00A0" }{ $p }, { $p_holm } after Holm's correction

## Tables and figures

model = model
coverage = coverage@10
mean_popularity = popularity@10
novelty = novelty@10
results_caption = { $how } In brackets: 95 % intervals, bootstrap over users ({ $samples } resamples). HR is the hit rate; it equals recall, as a row has one target. Coverage: share of the catalog in at least one list of 10. Popularity: train events of a listed item on average. Novelty: its self-information in bits, the higher the rarer.
results_figure = NDCG@10 and hit rate@10 with 95 % intervals. Intervals of two models may overlap although the paired test, which compares them user by user, tells them apart.
metric = metric
difference = difference
interval = 95 % interval
p = p
p_holm = p (Holm)
verdict = verdict
verdict_clear = different
verdict_perhaps = perhaps
verdict_level = not detectable
tests_caption = Sign-flip test of the paired differences, user by user ({ $permutations } permutations); Holm's correction over all pairs on one metric. Not detectable: the interval holds 0. Different: it does not, and the corrected p is below 0.05. Perhaps: it does not, but the corrected p is larger.
first_of = HR@1 of { $size }
candidates_text = The protocol of LLaRA and iLoRA: each target is ranked among itself and { $random } random items that are not in the user's history, drawn once and the same for all models. It is much easier than ranking the whole catalog and is shown for comparison with those papers alone.
candidates_caption = Share of targets on the first place, with 95 % intervals; the paired tests stand in metrics.json.
candidates_left_out = { $left_out } of { $rows } targets are not in this table: their histories leave fewer than { $random } items to draw from.
slice_cold = cold, { $first }–{ $last } events
slice_popularity = { $first }–{ $last } events
slice_history_length = { $first }–{ $last } items
target_popularity = train events of the target
history_length = items before the target
rows = rows
slice_caption = NDCG@10 within each slice, with 95 % intervals.
slice_figure = NDCG@10 with 95 % intervals in each slice, from small values on the left to large ones on the right.
slice_tests_caption = Differences of NDCG@10 within each slice; Holm's correction over all pairs of models in all slices.
curves_figure = Left: mean training loss (nats) against the epoch. Right: NDCG@10 on validation; the dot is the epoch that was kept.
curves_caption = Training runs. The weights of the best validation were kept.
best_validation = best validation NDCG@10
at_epoch = at epoch
epochs = epochs
optimiser_steps = steps
targets_seen = targets learned from
seconds = seconds
step = step
phase = phase
rss = peak RSS, GiB
allocated = peak on the GPU, GiB
total = all
cost_caption = Phases never overlap: each moment counts for one. Peaks are those of the whole process while the phase ran (RSS: resident set on the CPU).
time_figure = Seconds per phase; phases below 1 % of the longest are left out here and stand in the table.
memory_figure = Peak memory per step (GiB), the largest of its phases: rss, resident on the CPU; allocated, on the GPU.
gate_figure = Weights of the { $experts } experts for some users, by their ids; equal shares would be { $uniform } each.
gate_text = Over all users the weights have a mean entropy of { $entropy } nats, of { $maximum } at most, where all experts weigh the same; between users a weight varies by { $std } (standard deviation).
key = what
value = value
events = events
users = users
items = items
train_targets = train targets
validation_targets = validation targets
test_targets = test targets
titles_missing = items without a title
items_unmatched = items that are not in the items file
second_titles = items with several titles in the items file (the first counts)
dropped = dropped by { $filter }
bad_rows = rows left out since they cannot be read
tied_events = events at the time of the one before
source = source
split = split
fingerprint = fingerprint

## Environment

device = device
system = system
cpu = CPU
cpu_text = { $model }, { $cores } cores, { $threads } threads in use
memory = memory
gpu = GPU
gpu_text = { $name }, { $memory } GiB, driver { $driver }, CUDA { $cuda }
none = none
unknown = unknown
python = Python
git = commit
git_dirty = { $commit }, with uncommitted changes
mixed_environment = The steps did not all run with the same machine and software; the last step's is shown; these steps differ: { $steps }.
configuration = Configuration
reproduce = Save the configuration below as config.yaml and give the run another folder. On the same machine the same seed gives the same numbers (on the CPU).
evidence_text = Read off the loaded model, not off the configuration.
targets = Targets
number = number
probability = probability of the target
entropy = entropy, nats
lists_text = The distilled student learns from the lists of the training targets. A teacher that was trained on a target names it from memory: the farther these lists are above validation's, the more of them is the target itself. distill.drop_target takes it out (not with full_catalog_ce); teacher.folds has the lists written by teachers that have not seen the user.
lists_caption = How the lists place their own targets; the probability is 0 where a target is not in its list.
strength_text = Where distill.weight or distill.dropout was auto, the data decided; the student learned with weight { $weight } and dropout { $dropout }.
strength_plain = as the plain student
strength_why = An item has { $events } training events on average; with fewer than { $limit }, lists weigh less.

## Missing parts

no_data = The run has no record of its data.
no_metrics = The models of this run have not been evaluated.
no_tests = With one model there is nothing to compare.
knowledge = A teacher's gain is not the language model's knowledge by itself. With the default teacher, weights shuffled within each matrix ranked as well (docs/experiments.md): what it adds is a second sequence model over title embeddings. Run that control before you credit the language model.
no_teacher = No teacher was trained in this run.
no_outputs = The teacher's outputs were not written (export.enabled: false, or not yet), so nothing was distilled.
no_distilled = No student was distilled in this run yet.
no_curves = No training run left a curve.
no_cost = No times were recorded.
no_gate = The teacher has no gate, or left no examples of it.
setting = Setting
asked = asked for
in_effect = in effect
seen = what was seen
yes = yes
not_in_effect = NOT IN EFFECT
settings_caption = Settings, and what was seen of each while the teacher trained and was exported.
settings_without_trace = These settings left no trace and were not in effect: { $keys }.
no_evidence = The teacher left no evidence of what ran.
## What was seen of a setting

seen_products = products: { $products }; frozen: { $frozen }
seen_quantised = { $layers } quantised layers; kernels: { $kernels }
seen_no_four_bit = no 4-bit layers
seen_double = { $nested } of { $layers } layers
seen_compute = 4-bit layers compute in { $types }
seen_kernels = kernels: { $kernels }
seen_softmaxes = { $softmaxes } softmaxes
seen_graphs = { $graphs } graphs, { $late } of them after the warm-up
seen_cuda_graphs = { $graphs } CUDA graphs
seen_block_runs = blocks ran { $runs } times for { $calls } calls
seen_nothing_read = nothing was read
seen_padding = { $share } padding, { $widths } widths, { $packed } packed batches
seen_not_told_apart = bucketed and longest cannot be distinguished
seen_accumulated = up to { $most } micro-batches per step
seen_batch_tokens = micro-batches of up to { $largest } tokens, { $total } in total
seen_batch_size_unread = not read, since batch_tokens is set
seen_batch_size = micro-batches of up to { $most } prompts
seen_workers = batches by worker: { $workers }
seen_export_batch = batches of up to { $most } of { $prompts } prompts
seen_any_size = any size is automatic
seen_reused = { $tokens } tokens came from the cache
seen_blocks = { $blocks } blocks
seen_history = the longest history shown has { $items } items
seen_gate = the gate in use is { $kind }
seen_titles_weight = validation gave title similarity the weight { $weight }
seen_no_decay = its decay is not observed
seen_nothing_embedded = nothing was embedded
seen_pooling = pooling: { $pooling }
seen_limit = at most { $most } tokens per text, { $cut } of { $texts } texts truncated
seen_no_limit = without a limit, { $cut } of { $texts } texts truncated
seen_behind = behind { $prompt }
seen_no_modules = its files do not say how texts are embedded (no modules.json)
seen_targets = { $targets } predictions from { $prompts } prompts
seen_adapter_rank = adapter rank: { $found }
seen_experts = experts weighted by the gate: { $found }
seen_prompt = item tokens are those of this prompt: { $found }
seen_head = head: { $found }
seen_adapted = layers with adapters: { $layers }
seen_lists = lists of { $length } of { $items } items
seen_states = width of the stored user embeddings: { $width }
seen_not_looked_for = nothing looks for this setting
pooling_title_tokens = mean over the title's own tokens
pooling_no_titles = no titles
attention_as_configured = as configured
attention_runs = auto: it can run here
attention_no_cuda = auto: flash_attention_2 needs a CUDA device, and this run is on the CPU
attention_not_installed = auto: flash_attention_2 needs the package flash-attn, which is not installed
attention_full_precision = auto: flash_attention_2 computes in half precision only

## Phases

phase_batch_size = batch size
phase_candidates = candidates
phase_checkpoint = checkpoint
phase_compile = compile
phase_data_wait = data wait
phase_embed_titles = embed titles
phase_export = export
phase_filter = filter
phase_import = import
phase_known_targets = known targets
phase_load_LLM = load LLM
phase_load_data = load data
phase_matmul_peak = matmul peak
phase_quality = quality
phase_report = report
phase_selection = selection
phase_set_up = set-up
phase_split = split
phase_statistics = statistics
phase_strength = strength
phase_target_memorisation = target memorisation
phase_test = test
phase_title_map = title map
phase_train_step = train step
phase_validation = validation
phase_warm_up = warm-up
phase_write = write
phase_load = load { $model }
phase_rank = rank { $model }


# ---- bench ----
bench_made = { $finished } of { $asked } runs of { $cells } cells ended well, from { $started } to { $ended } (UTC); { $total } of work.
bench_incomplete = { $missing } runs have not been made yet; the same command makes them.
bench_contents_method = Method
bench_contents_overview = Time and memory by phase
bench_contents_tradeoff = Speed against quality
bench_contents_conclusions = Conclusions
bench_method_cells = Each run has a process of its own with { $threads } pinned threads, and is ended after { $limit }. Before anything is timed, it goes forward and backward over the longest and the shortest batch of its plan (warm-up; compile where blocks are compiled).
bench_method_sample = One pass over { $rows } training targets; { $users } validation users are ranked before and after it; the outputs of { $exported } targets are exported. The samples are drawn by one seed, so they are the same in all cells. Of test, { $tested } histories are read for the time that takes; no test metric is computed.
bench_method_turns = { $repeats } turns; each starts at another cell. Cells are compared turn by turn, as ratios; shown are the median and, in brackets, the smallest and largest of the turns.
bench_method_noise = Noise is measured, not assumed: { $pairs } ask for exactly the same, so whatever differs between them is noise. The floor of a metric is the largest ratio seen between them, at least { $least }. A difference is called one only where all turns lie outside the floor, on the same side.
bench_method_luck = By this rule two equal cells would be called different in about { $chance } of comparisons with { $turns } turns (simulated, with independent normal noise). Of the { $count } comparisons made here that is about { $expected } by luck alone; noise that lasts for a while can make more.
bench_method_other_work = The floor was measured on { $pairs } alone. Comparisons of or with { $others } are of other work, which may be more or less noisy; there is no A/A pair for it.
bench_method_quality = Quality is NDCG@10 on validation after the pass, beside every speed; its differences have 95 % intervals by a paired bootstrap over users. After one short pass it tells whether a setting does harm, not how good it gets.
bench_method_evidence = A setting that left no evidence of having been in effect is reported as not in effect, whatever its times, and nothing is concluded from its cell; a setting that nothing looks for is reported as not judged.
bench_method_mfu = Utilisation: the operations that the real tokens need (no padding, no recomputation) over seconds and the fastest matrix product measured in the same process, in the same type ({ $peaks }).
bench_memory_cuda = Memory is the CUDA allocator's peak.
bench_memory_cpu = Memory is the peak resident set of the process, libraries included (about { $import_gib } GiB once they are imported).
bench_mixed_machines = The rows were measured on different machines or software; comparisons between them mean little.
bench_pair_caption = Noise floors, from { $pairs } in all turns.
bench_no_pair = The A/A pair has not run, so no difference can be told from noise.

## Bench: Metrics

bench_train_seconds = training
bench_train_memory = peak memory while training
bench_validation_seconds = validation
bench_test_seconds = reading test
bench_export_seconds = export
bench_export_memory = peak memory while exporting
bench_floor_header = noise floor

## Bench: Tables

bench_cell = cell
bench_train_s = train, s
bench_step_s = s a step
bench_against = × { $against }
bench_rows_s = rows/s
bench_targets_s = targets/s
bench_tokens_s = useful tokens/s
bench_padding = padding
bench_mfu = utilisation
bench_ndcg = NDCG@10 before → after
bench_ndcg_difference = difference to { $against }
bench_export_s = export, s
bench_peak_export = export, GiB
bench_peak_train = train, GiB
bench_verdict = verdict
bench_asked = asked for
bench_seen = seen
bench_nothing_seen = nothing
bench_in_effect = in effect
bench_yes = yes
bench_no = no
bench_not_judged = not judged
bench_speed_caption = Speed of the pass, medians over turns. Utilisation counts real tokens only.
bench_training_caption = Training, and quality beside it. Median over turns [smallest, largest]. Training is train steps and waiting for data together.
bench_export_caption = Export: the teacher runs, its outputs are written. Median over turns [smallest, largest]; rates are medians.
bench_times_caption = Seconds by phase, medians over turns.
bench_memory_caption = Peak memory by phase in GiB, medians over turns.
bench_evidence_caption = What each cell asked for, and what was seen as it ran.
bench_times_figure = Seconds by phase, medians over turns.
bench_memory_figure = Peak memory by phase in GiB, medians over turns.
bench_tradeoff_figure = Training speed and NDCG@10 after the pass. Cells that differ from the base are labelled; the line is the base's NDCG@10.

## Bench: Verdicts

bench_verdict_base = compared with
bench_verdict_slower = slower
bench_verdict_faster = faster
bench_verdict_more = more memory
bench_verdict_less = less memory
bench_verdict_noise = inside the noise
bench_verdict_not_in_effect = not in effect
bench_verdict_refused = refused
bench_verdict_failed = failed
bench_verdict_out_of_memory = out of memory
bench_verdict_timed_out = timed out
bench_verdict_missing = not run
bench_verdict_against = compared with a cell: { $what }
bench_verdict_unknown = too few turns

## Bench: Sentences

bench_slower = { $metric } { $factor } times slower ({ $low }–{ $high })
bench_faster = { $metric } { $factor } times faster ({ $low }–{ $high })
bench_percent = { $metric } { $percent } ({ $low } to { $high })
bench_inside = inside the noise: { $metrics }
bench_quality_clear = NDCG@10 { $difference } ({ $low } to { $high })
bench_quality_level = NDCG@10 without a detectable difference ({ $low } to { $high })
bench_quality_same = NDCG@10 the same for every user
bench_finding = { $cell } against { $against }: { $parts }.
bench_trouble = { $cell }: { $what }: { $reason }
bench_missing = { $cell }: not run.
bench_ineffective = { $cell }: not in effect, since { $keys } left no evidence; its times say nothing about the setting.
bench_no_reference = { $cell }: cannot be judged, since { $against }, which it is compared with, is: { $what }.
bench_unjudged = whether it was in effect is not judged: { $keys }
bench_no_floor = { $cell }: cannot be judged until it, its reference and the A/A pair each have three turns.
bench_partly = turn { $turn } { $what }

## Bench: 2×2

bench_factorial_caption = The four cells apart: what each setting adds, averaged over the other, and what both together add beyond that (interaction). Median over turns [smallest, largest].
bench_effect = effect
bench_interaction = interaction
bench_effect_verdict = difference
bench_factorial_missing = The 2×2 cannot be told apart, since not all four cells can be used: { $cells }.
bench_factorial_turns = The 2×2 cannot be told apart: the four cells, or the A/A pair, have fewer than { $turns } turns in common.
bench_factorial_shares = Both together change { $metric } by { $total } { $unit } from { $neither }; { $first } alone by { $one }, { $second } alone by { $two }.

## Bench: Compile

bench_payback = { $cell }: compiling takes { $price } more than the warm-up of { $against } and saves { $saved } a step: it pays back at step { $steps }.
bench_payback_never = { $cell }: compiling takes { $price } more than the warm-up of { $against } and saves nothing beyond the noise: it never pays back.

## Bench: Reproduce

bench_bench_reproduce = The command goes on where it was interrupted and runs only what is missing. All rows are in results.jsonl.
bench_matrix = The matrix
