## Names

popularity = popularity baseline
cooccurrence = co-occurrence baseline
item_knn = item-kNN baseline
ease = EASE baseline
student = student
titled = student with titles
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
made = Run from { $started } to { $finished } (UTC), processing time { $total }.
tables_scroll = The table scrolls sideways.
contents_data = Data
contents_summary = Summary
contents_results = Results
contents_tests = Paired tests
contents_popularity = By popularity of the target
contents_history_length = By length of the history
contents_candidates = Sampled evaluation
contents_curves = Learning curves
contents_cost = Time and memory
contents_gate = Gate
contents_lists = Teacher outputs on training targets
contents_evidence = Settings in effect
contents_environment = Environment
contents_reproduce = Reproduce

## Summary

best = The { $model } has the highest NDCG@10: { $value } (95 % interval { $low } to { $high }). { $how }
how = Full ranking: { $rows } targets ({ $split } split) of { $users } users among all { $items } items, { $seen }.
seen_filtered = seen items filtered out
seen_kept = seen items kept
repeats = { $repeats } of { $rows } targets repeat an item of their own history. Seen items are filtered out, so these targets count as misses for every model. To rank them, set evaluate.filter_seen to false.
clearly_above = The { $a } is above the { $b } by { $difference } NDCG@10 ({ $interval }, { $p }). The difference exceeds the variation between users.
clearly_below = The { $a } is below the { $b } by { $difference } NDCG@10 ({ $interval }, { $p }). The difference exceeds the variation between users.
perhaps = Between the { $a } and the { $b } a difference of { $difference } NDCG@10 is inconclusive ({ $interval }, { $p }). The interval excludes 0, but the difference is not significant after correction for all comparisons.
undecided = Between the { $a } and the { $b } the difference is { $difference } NDCG@10 ({ $interval }, { $p }).
level = Between the { $a } and the { $b } there is no detectable difference: { $difference } NDCG@10 ({ $interval }, { $p }).
baseline_left_out = The { $model } is left out: the catalog has { $items } items, more than evaluate.{ $name }_items ({ $most }).
baseline_ahead = The { $b } ranks above the { $a } here, although it is fitted in one step. Check the data and the settings before you use the { $a }.
interval_holds_zero = The interval includes 0 although p { $p }. The interval comes from bootstrap resamples and p from sign flips; close to 0.05 the two may disagree. Treat the difference as undecided.
interval_without_zero = The interval excludes 0 although p { $p }. The interval comes from bootstrap resamples and p from sign flips; close to 0.05 the two may disagree. Treat the difference as undecided.
seeds_held_fixed = Interval and p { $p } disagree because this p, from an earlier version, holds the seeds fixed and the interval does not. Rely on the interval.
one_seed = All results come from one training seed; another seed may change them by a similar amount. Intervals and p-values cover the variation between users only. To compare several seeds, use recdistill compare.
interval_text = 95 % interval { $low } to { $high }
p_text = p{ "\u00A0" }{ $p }, Holm-corrected { $p_holm }

## Tables and figures

model = model
coverage = coverage@10
mean_popularity = popularity@10
novelty = novelty@10
results_caption = { $how } In brackets: 95 % intervals from { $samples } bootstrap resamples of users. HR is the hit rate; it equals recall, as a row has one target. Coverage: share of all items that appear in at least one top-10 list. Popularity: mean number of training interactions of a listed item. Novelty: mean self-information in bits; rarer items score higher.
results_figure = NDCG@10 and hit rate@10 with 95 % intervals. Two intervals may overlap although the paired test, which compares the models user by user, finds a difference.
metric = metric
difference = difference
interval = 95 % interval
p = p
p_holm = p (Holm)
result = result
result_clear = different
result_perhaps = inconclusive
result_level = not detectable
result_with_reason = { $result }. { $reason }
tests_caption = Sign-flip test of the paired differences between users ({ $permutations } permutations), Holm-corrected over all pairs for each metric. Not detectable: the interval includes 0. Different: it excludes 0 and the corrected p is below 0.05. Inconclusive: it excludes 0, but the corrected p is 0.05 or more.
first_of = HR@1 of { $size }
candidates_text = The protocol of LLaRA and iLoRA: each target is ranked among itself and { $random } random items that are not in the user's history, sampled once and the same for all models. It is much easier than full ranking and is shown only for comparison with those papers.
candidates_caption = Share of targets ranked first, with 95 % intervals; the paired tests are in metrics.json.
candidates_left_out = { $left_out } of { $rows } targets are not in this table: outside their histories there are fewer than { $random } items to sample.
slice_span = { $first }–{ $last }
slice_cold = cold, { $span } interactions
slice_popularity = { $span } interactions
slice_history_length = { $span } items
target_popularity = training interactions of the target
history_length = items before the target
rows = rows
slice_caption = NDCG@10 within each slice, with 95 % intervals.
slice_figure = NDCG@10 with 95 % intervals in each slice, from small values on the left to large ones on the right.
slice_tests_caption = Differences in NDCG@10 within each slice, Holm-corrected over all pairs of models and all slices.
drawn_loss = { $model }: loss
drawn_validation = { $model }: validation NDCG@10
drawn_user = user
epoch = epoch
expert = expert { $number }
weight = weight
curves_figure = Left: mean training loss (nats) by epoch. Right: validation NDCG@10; the dot marks the epoch that was kept.
curves_caption = Training runs. The weights with the best validation score were kept.
best_validation = best validation NDCG@10
at_epoch = at epoch
epochs = epochs
optimiser_steps = optimizer steps
targets_seen = training targets seen
seconds = seconds
step = step
phase = phase
rss = peak RSS, GiB
allocated = peak on the GPU, GiB
total = total
cost_caption = Phases do not overlap. A peak is that of the whole process during the phase (RSS: resident set on the CPU).
time_figure = Seconds per phase. Phases below 1 % of the longest are only in the table.
memory_figure = Peak memory per step (GiB), the largest of its phases. rss: resident on the CPU; allocated: on the GPU.
gate_figure = Weights of the { $experts } experts for some users, by user id; equal weights would be { $uniform } each.
gate_text = Over all users the mean entropy of the weights is { $entropy } nats, of { $maximum } at most, where all experts weigh the same; the standard deviation of a weight between users is { $std }. Different weights are not yet a gain: on no data tried so far did a teacher with a gate rank better than one without (docs/experiments/teacher.md).
key = item
value = value
events = interactions
users = users
items = items
train_targets = training targets
validation_targets = validation targets
test_targets = test targets
titles_missing = items without a title
items_unmatched = items that are not in the items file
second_titles = items with several titles in the items file (the first is used)
dropped = removed by { $filter }
bad_rows = rows that could not be read
tied_events = interactions at the same time as the one before
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
mixed_environment = The steps did not all run on the same machine and software. The last step's is shown; these steps differ: { $steps }.
configuration = Configuration
reproduce = Save the configuration below as config.yaml and set run to another folder. On the CPU, the same machine and seed give the same numbers.
evidence_text = Read from the loaded model, not from the configuration.
targets = Targets
number = count
probability = probability of the target
entropy = entropy, nats
lists_text = The distilled student learns from the teacher's lists for the training targets. A teacher that was trained on a target may have memorised it: the further the training lists are above those of validation, the more they repeat the target itself. distill.drop_target removes the target from its list (not with full_catalog_ce); teacher.folds exports with teachers that have not seen the user.
lists_caption = Where the lists rank their own targets; the probability is 0 if a target is not in its list.
strength_text = distill.weight and distill.dropout set to auto are chosen from the data. The student was trained with weight { $weight } and dropout { $dropout }.
strength_plain = as the plain student
strength_why = An item has { $events } training interactions on average; below { $limit }, the distillation weight is lowered.

## Missing parts

no_data = There is no record of this run's data.
no_metrics = The models of this run have not been evaluated.
no_tests = With one model there is nothing to compare.
knowledge = A teacher's gain is not by itself the language model's knowledge. With the default teacher, weights shuffled within each matrix ranked as well (docs/experiments/pretraining.md): the teacher adds a second sequence model over title embeddings. Run that control before you attribute a gain to the language model.
knowledge_worth = What pretrained knowledge is worth ({ $metric }): { $variant } minus { $control } ({ $weights }).
knowledge_of = { $model }: { $gain } ({ $difference }, 95 % interval { $low } to { $high }, p { $p }).
knowledge_level = No difference can be told.
knowledge_no_control = What pretrained knowledge is worth is not known: { $control } is no control of this run, since its settings differ in more than the weights of the models (teacher.llm_weights, teacher.title_encoder_weights), or both have the same.
knowledge_lost = This run is a control: its models have lost what they learned ({ $weights }).
no_teacher = No teacher was trained in this run.
no_outputs = The teacher's outputs were not exported (export.enabled: false, or not yet), so nothing was distilled.
no_distilled = No student has been distilled in this run yet.
no_curves = There is no record of the training runs.
no_cost = There is no record of times.
no_gate = The teacher has no gate, or no gate weights were recorded.
setting = Setting
asked = asked for
in_effect = in effect
seen = observed
yes = yes
not_in_effect = NOT IN EFFECT
settings_caption = Settings, and what was observed of each during the teacher's training and export.
settings_without_trace = These settings left no trace and were not in effect: { $keys }.
no_evidence = There is no record of what the teacher ran.
## What was seen of a setting

seen_products = products: { $products }; frozen: { $frozen }
seen_quantised = { $layers } quantised layers; kernels: { $kernels }
seen_no_four_bit = no 4-bit layers
seen_double = { $nested } of { $layers } layers
seen_quantised_share = { $share } of the blocks' weights are quantised
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
seen_sequences = sequences of up to { $items } items, read with a window of { $window }
seen_gate = the gate in use is { $kind }
seen_titles_weight = validation gave title similarity the weight { $weight }
seen_no_decay = its decay is not observed
seen_nothing_embedded = nothing was embedded
seen_nothing_loaded = no such model was loaded
seen_pretrained = pretrained weights, unchanged
seen_weights = { $matrices } matrices ({ $values } values) replaced; correlation with the pretrained ones { $correlation }
seen_not_tuned = the title encoder was not trained on the histories
seen_tuned = { $steps } steps of { $parameters } parameters, loss { $first } at first and { $last } at the end
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
attention_counts_items = auto: streams count their window in items, which sdpa alone does
attention_no_flash = auto: transformers has no flash_attention_2 for this language model
attention_only_eager = auto: transformers has no other attention for { $kind } models
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
phase_similar_titles = similar titles
phase_train_step = train step
phase_tune_titles = tune titles
phase_validation = validation
phase_warm_up = warm-up
phase_write = write
phase_load = load { $model }
phase_rank = rank { $model }

## Comparisons of runs

variant = variant
seeds = seeds
mean = mean
std = std
gain = gain
slice = slice
core_seconds = core-seconds
of_metric = { $metric }. { $how }
in_slices = { $metric } by { $axis }; no tests
no_popularity_slices = No slices by { $axis }: the runs were trained on different users.
nothing_compared = One variant and no baseline: no differences. Intervals: bootstrap over seeds and users.
compared_with = Differences to { $names }. Intervals: { $samples } bootstrap resamples of seeds and users. p: paired sign flips of users' means over seeds{ $p_seeds } ({ $permutations } permutations); Holm over { $tests }.
p_with_seeds = , with resampled seeds
one_test = 1 test
several_tests = { $tests } tests
device_not_recorded = not recorded
devices_differ = Devices differ, so costs cannot be compared: { $devices }.
one_device = Device: { $device }.

# ---- bench ----
bench_made = { $finished } of { $asked } runs of { $cells } cells completed, from { $started } to { $ended } (UTC), processing time { $total }.
bench_incomplete = { $missing } runs are still to be made; run the same command again.
bench_contents_method = Method
bench_contents_overview = Time and memory by phase
bench_contents_tradeoff = Speed and quality
bench_contents_conclusions = Conclusions
bench_method_cells = Each run has its own process with { $threads } pinned threads and is stopped after { $limit }. Before timing starts, it runs one forward and backward pass over the longest and the shortest batch (warm-up; compilation where blocks are compiled).
bench_method_sample = One pass over { $rows } training targets; { $users } validation users are ranked before and after it; the outputs of { $exported } targets are exported. One seed draws the samples, so they are the same in all cells. { $tested } test histories are read for timing only; no test metric is computed.
bench_method_turns = { $repeats } repetitions, each starting at another cell. Cells are compared within a repetition, as ratios. Tables show the median and, in brackets, the smallest and largest value.
bench_method_noise = Noise is measured: { $pairs } have identical settings, so any difference between them is noise. The noise floor of a metric is the largest ratio observed between them, at least { $least }. A difference is reported only if every repetition exceeds the noise floor in the same direction.
bench_method_luck = By this rule two equal cells differ by chance in about { $chance } of comparisons with { $turns } repetitions (simulated with independent normal noise). For the { $count } comparisons made here, expect about { $expected } by chance alone; noise that persists for a while adds more.
bench_method_other_work = The noise floor was measured on { $pairs } only. Comparisons of or with { $others } involve other work, which may be more or less noisy; there is no A/A pair for it.
bench_method_quality = Every speed is shown with the quality reached: validation NDCG@10 after the pass, with 95 % intervals of differences from a paired bootstrap over users. One short pass shows whether a setting does harm, not the final quality.
bench_method_evidence = A setting without evidence of having been in effect is reported as not in effect, whatever its times, and nothing is concluded from its cell. A setting that cannot be observed is reported as not judged.
bench_method_mfu = Utilisation: operations needed for the real tokens (without padding and recomputation), divided by the time and by the fastest matrix product measured in the same process and type ({ $peaks }).
bench_memory_cuda = Memory is the CUDA allocator's peak.
bench_memory_cpu = Memory is the peak resident set of the process, including libraries (about { $import_gib } GiB once they are imported).
bench_mixed_machines = The rows were measured on different machines or software, so comparisons between them are unreliable.
bench_pair_caption = Noise floors, from all repetitions of { $pairs }.
bench_no_pair = The A/A pair has not run, so differences cannot be distinguished from noise.

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
bench_step_s = s/step
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
bench_outcome = outcome
bench_asked = asked for
bench_seen = observed
bench_nothing_seen = nothing
bench_in_effect = in effect
bench_yes = yes
bench_no = no
bench_not_judged = not judged
bench_speed_caption = Training speed, medians over repetitions. Utilisation counts real tokens only.
bench_training_caption = Training and quality. Median over repetitions [smallest, largest]. Training time is train steps plus waiting for data.
bench_export_caption = Export: inference and writing. Median over repetitions [smallest, largest]; rates are medians.
bench_times_caption = Seconds per phase, medians over repetitions.
bench_memory_caption = Peak memory per phase in GiB, medians over repetitions.
bench_evidence_caption = What each cell asked for, and what was observed.
bench_drawn_speed = training targets per second
bench_drawn_quality = validation NDCG@10
bench_times_figure = Seconds per phase, medians over repetitions.
bench_memory_figure = Peak memory per phase in GiB, medians over repetitions.
bench_tradeoff_figure = Training speed and NDCG@10 after the pass. Cells that differ from the base are labelled; the line is the base's NDCG@10.

## Bench: Verdicts

bench_outcome_base = reference
bench_outcome_slower = slower
bench_outcome_faster = faster
bench_outcome_more = more memory
bench_outcome_less = less memory
bench_outcome_noise = within noise
bench_outcome_not_in_effect = not in effect
bench_outcome_refused = refused
bench_outcome_failed = failed
bench_outcome_out_of_memory = out of memory
bench_outcome_timed_out = timed out
bench_outcome_missing = not run
bench_outcome_against = reference: { $what }
bench_outcome_unknown = too few repetitions

## Bench: Sentences

bench_slower = { $metric } { $factor } times slower ({ $low }–{ $high })
bench_faster = { $metric } { $factor } times faster ({ $low }–{ $high })
bench_percent = { $metric } { $percent } ({ $low } to { $high })
bench_inside = within noise: { $metrics }
bench_quality_clear = NDCG@10 { $difference } ({ $low } to { $high })
bench_quality_level = no detectable difference in NDCG@10 ({ $low } to { $high })
bench_quality_same = NDCG@10 identical for every user
bench_finding = { $cell } against { $against }: { $parts }.
bench_trouble = { $cell }: { $what }: { $reason }
bench_trouble_quoted = { $cell }: { $what }: { $reason }
bench_over_time = more than { $seconds } s
bench_killed = killed by the system, which does so when memory is full
bench_missing = { $cell }: not run.
bench_ineffective = { $cell }: not in effect, since { $keys } left no evidence; its times do not measure the setting.
bench_no_reference = { $cell }: cannot be judged; its reference { $against } is: { $what }.
bench_unjudged = not judged whether it was in effect: { $keys }
bench_no_floor = { $cell }: cannot be judged until it, its reference and the A/A pair have three repetitions each.
bench_partly = repetition { $turn } { $what }

## Bench: 2×2

bench_factorial_caption = Effects of the two settings: each averaged over the other, and their interaction. Median over repetitions [smallest, largest].
bench_effect = effect
bench_interaction = interaction
bench_effect_differs = difference
bench_factorial_missing = The effects cannot be separated, since not all four cells can be used: { $cells }.
bench_factorial_turns = The effects cannot be separated: the four cells and the A/A pair have fewer than { $turns } repetitions in common.
bench_factorial_shares = Both together change { $metric } by { $total } { $unit } from { $neither }; { $first } alone by { $one }, { $second } alone by { $two }.

## Bench: Compile

bench_payback = { $cell }: compilation takes { $price } more than the warm-up of { $against } and saves { $saved } per step; it pays off from step { $steps }.
bench_payback_never = { $cell }: compilation takes { $price } more than the warm-up of { $against } and saves nothing beyond the noise, so it never pays off.

## Bench: Reproduce

bench_bench_reproduce = An interrupted command resumes and runs only what is missing. All rows are in results.jsonl.
bench_matrix = Experiment definition
