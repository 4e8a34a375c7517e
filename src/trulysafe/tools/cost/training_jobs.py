"""Jobs that prepare and train policies, and that follow them: references, rewards, token rewards, trainings."""

from __future__ import annotations

import math
from collections.abc import Iterator

from trulysafe.config.order import kept_steps
from trulysafe.config.resolved import method_of, training_of
from trulysafe.config.tables.training import Training
from trulysafe.methods.method import ONE_PROCESS, SHIFTED_LOSSES, Method, Online
from trulysafe.tools.cost.work import RESPONSE, Job, Trained, Work
from trulysafe.train.memory import Shape


class TrainingJobs(Work):
    """The part of :class:`trulysafe.tools.cost.jobs.Jobs` between pairs and answers."""

    def _training(self) -> Iterator[Job]:
        references, rewards = set[tuple[str, str]](), set[tuple[str, str, str]]()
        for batch in self.plan.policies.trained:
            method = self.plan.policies.method(batch)
            for experiment, seed in self.plan.policies.trained[batch]:
                start = self.plan.policies.start(experiment, seed)
                tables = self.config.mixes[str(self.config.experiments[experiment].mix)].pairs
                references |= {(start, name) for name in tables}
                if method_of(self.config, method).needs_reward:
                    rewards |= {(start, str(self.config.methods[method].reward), name) for name in tables}
        if shown := self.config.report.kept_tokens:
            model, method_table = self.config.pairs[shown.pairs].model, self.config.methods[shown.method]
            references.add((model, shown.pairs))
            if not method_table.token_rewards:
                rewards.add((model, str(method_table.reward), shown.pairs))
        for start, name in sorted(references):
            tokens, size = self._pair_tokens(name), self.size(self.plan.models.behind(start))
            yield Job("reference", size, forward_tokens=tokens, disk=tokens * (8 + 8))
        for start, _, name in sorted(rewards):
            tokens, size = self._pair_tokens(name), self.size(self.plan.models.behind(start))
            yield Job("read_rewards", size, forward_tokens=tokens, disk=tokens * 8)
        yield from self._token_rewards()
        for batch in self.plan.policies.trained:
            yield self._train(batch)
        for batch in self.plan.drift.followed:
            yield self._follow(batch)
        if self.plan.drift.followed:
            yield Job("order_and_distribution")

    def _follow(self, batch: str) -> Job:
        """Likelihoods of a part of the pool and new samples, of a job's policies and twice of the reference."""
        assert self.config.drift is not None
        drift, pool = self.config.drift, self.config.pools[self.config.drift.pool]
        size, policies, length = (
            self.size(pool.model),
            self.plan.drift.followed[batch],
            self._response(pool.max_new_tokens),
        )
        benchmark = self.rows.benchmark(self.config.benchmarks[drift.benchmark], last=True)
        known = min(drift.prompts, self.rows.pool(drift.pool)) * pool.samples
        prompts = min(drift.fresh_prompts, benchmark)
        reads = (len(policies) + 1) * known + (len(policies) + 2) * prompts * drift.fresh_samples
        steps = (len(policies) + 2) * math.ceil(prompts / pool.block) * pool.max_new_tokens
        return Job(
            "pool_likelihoods", size, len(policies) + 1, forward_tokens=reads * length, steps=steps,
            sequences=pool.block * drift.fresh_samples,
        )  # fmt: skip

    def _token_rewards(self) -> Iterator[Job]:
        """Sources of token rewards that a method reads, and what they say of the pairs of its mixes."""
        read = set[tuple[str, str]]()
        for batch in self.plan.policies.trained:
            if source := self.config.methods[self.plan.policies.method(batch)].token_rewards:
                read |= {(source, name) for name in self.plan.train.pairs(batch)}
        shown = self.config.report.kept_tokens
        if shown and (source := self.config.methods[shown.method].token_rewards):
            read.add((source, shown.pairs))
        for name in sorted({source for source, _ in read}):
            source_of, size = self.config.token_rewards[name], self.size(self.config.token_rewards[name].model)
            tokens = 2 * source_of.rows * self._response(RESPONSE)
            fitted = source_of.kind == "token_rm"
            yield Job(
                "fit_token_rewards", size, forward_tokens=tokens, trained_tokens=tokens * fitted,
                trained=self._whole(size) if fitted else None, disk=size.bytes * fitted,
            )  # fmt: skip
        for name, pairs in sorted(read):
            tokens = self._pair_tokens(pairs)
            size = self.size(self.config.token_rewards[name].model)
            yield Job("read_token_rewards", size, forward_tokens=tokens, disk=tokens * 8)

    def _train(self, batch: str) -> Job:
        """The runs of a training job, one after another."""
        names = [name for name, _ in self.plan.policies.trained[batch]]
        size, method = (
            self.size(self.plan.policies.model(batch)),
            method_of(self.config, self.plan.policies.method(batch)),
        )
        trainings = {name: training_of(self.config, self.config.experiments[name]) for name in names}
        shares = {name: self.assumptions.lora_share if item.lora else 1.0 for name, item in trainings.items()}
        tokens = {name: self._optimised_tokens(name, item) for name, item in trainings.items()}
        forward = steps = 0.0
        if (
            method.loss in SHIFTED_LOSSES
        ):  # the mismatched pairs of each micro-batch; those of the data set, once, are left out
            forward += sum(tokens[name] for name in names)
        if method.online.samples:
            forward += sum(self._sampled_tokens(method.online, trainings[name]) for name in names)
            steps += sum(
                item.steps * item.accumulation * method.online.max_new_tokens
                for item in (trainings[name] for name in names)
            )
        held = [self._trained(name, item, method) for name, item in trainings.items()]
        return Job(
            "train", size, len(names), forward_tokens=forward, steps=steps,
            sequences=max(item.batch_size for item in trainings.values()) * method.online.samples,
            trained_tokens=sum(tokens[name] for name in names),
            flops_per_token=max((4 if item.lora else 6) + 2 * item.gradient_checkpointing for item in trainings.values()),
            trained=max(held, key=lambda run: run.memory().total),
            processes=self.plan.train.nodes(batch) * self.plan.train.processes(batch),
            disk=sum(len(kept_steps(trainings[name])) * size.bytes * shares[name] for name in names),
        )  # fmt: skip

    def _trained(self, experiment: str, training: Training, method: Method) -> Trained:
        """The memory of a run, its pairs taken to be as long as they may be."""
        size, mix = self.size(self.config.experiments[experiment].model), self.config.experiments[experiment].mix
        share = self.assumptions.lora_share if training.lora else 1
        shape = Shape(int(size.parameters), int(size.parameters * share), size.layers, size.width, size.dtype)
        sampled = self.assumptions.prompt_tokens + method.online.max_new_tokens if method.online.samples else 0
        longest = max(
            int(sampled), *(self.config.pairs[table].max_length for table in self.config.mixes[str(mix)].pairs)
        )
        alone = bool(method.online.samples) or method.loss in ONE_PROCESS
        return Trained(shape, training.model_dump(), training.launch, longest, alone)

    def _optimised_tokens(self, experiment: str, training: Training) -> float:
        """Tokens of both sides of all pairs of a run, as if each were as long as those of the longest table of its mix."""
        length = max(
            self._side(table) for table in self.config.mixes[str(self.config.experiments[experiment].mix)].pairs
        )
        return training.steps * training.batch_size * training.accumulation * 2 * length

    def _sampled_tokens(self, online: Online, training: Training) -> float:
        """Tokens of a run's samples: read once as prompts, then judged; two of each prompt are read by the reference, all prompts in scope."""
        of_prompt = online.samples * self.assumptions.prompt_tokens
        of_prompt += (online.samples + 2) * self._response(online.max_new_tokens)
        return training.steps * training.accumulation * training.batch_size * of_prompt
