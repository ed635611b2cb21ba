package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/web"
	"github.com/spf13/cobra"
)

func (a *app) workerCommand() *cobra.Command {
	var only []string
	c := &cobra.Command{
		Use:   "worker",
		Short: "Run the consumers on any Kafka and read model",
		Long: "Run the consumers: each projects the events of its topic into the read model and sends notifications. Any number\n" +
			"of workers may run; Kafka assigns the partitions. When it has joined every group, it prints this line first:\n" +
			"ready topics=TOPIC,… groups=GROUP,…\n\n" +
			"It logs events that fail, and at LOG_LEVEL=debug each event (ids, outcome, duration). --health serves /healthz and\n" +
			"/readyz: 200 once every group is joined; 503, with the causes, while a partition cannot be read, events fail in a\n" +
			"row, the read model is unavailable, or the log has lost events (a restart acknowledges a loss).\n\n" + serverHelp,
		Example: "  sipeat worker\n" +
			"  LOG_LEVEL=warn sipeat worker --only contact-created,notification --health 127.0.0.1:8081",
		RunE: func(c *cobra.Command, _ []string) error {
			unknown := func(topic string) bool { return !slices.Contains(topicNames(), topic) }
			if len(only) == 0 || slices.ContainsFunc(only, unknown) { // none: a variable of a script that is not set
				return usageError{fmt.Errorf("--only takes one or more of %s", strings.Join(topicNames(), ", "))}
			}
			return a.runServer(c.Context(), func(ctx context.Context) error { return a.worker(ctx, only) })
		},
	}
	c.Flags().StringSliceVar(&only, "only", topicNames(), "topics to consume, separated by commas")
	return a.withFlags(c, "health", "brokers")
}

func (a *app) worker(ctx context.Context, only []string) error {
	others := func(f consumers.Function) bool { return !slices.Contains(only, f.Consumer.Topic) }
	needs := requirements(slices.DeleteFunc(allConsumers(), others))
	if err := a.reach(ctx, needs); err != nil {
		return err
	}
	if err := a.open(ctx, a.settings.Store); err != nil {
		return err
	}
	c := a.consumers()
	c.Publisher = kafka.Linger(c.Publisher)
	functions := slices.DeleteFunc(c.Functions(), others)
	owned, joined := map[string][]int32{}, make(chan struct{}) // by topic, once its group is joined; closed once all are joined
	var mu sync.Mutex
	err := a.startConsumers(functions, func(topic string, now []int32) {
		mu.Lock()
		defer mu.Unlock()
		before, known := owned[topic]
		if owned[topic] = now; !known || !slices.Equal(before, now) {
			a.logger.Info("partitions changed", "topic", topic, "before", before, "owned", now)
		}
		if !known && len(owned) == len(functions) {
			close(joined)
		}
	})
	if err != nil {
		return err
	}
	if a.settings.Health != "" {
		health := web.Router(web.Health(append(a.checks, a.storeCheck())...), web.Options{Logger: a.logger})
		if err := a.listenAndServe("health", a.settings.Health, "--health (HEALTH)", "/readyz", health); err != nil {
			return err
		}
	}
	a.logger.Info("joining the groups; the partitions of a killed worker are free when its session ends")
	select {
	case <-joined:
	case <-a.running.Done():
		return context.Cause(a.running)
	}
	groups := collect(functions, func(f consumers.Function) string { return f.Consumer.Group })
	fmt.Fprintf(a.stdout, "ready topics=%s groups=%s\n\n", strings.Join(needs.Read, ","), strings.Join(groups, ","))
	a.printConsumers(functions)
	fmt.Fprintf(a.stdout, "\nThe read model is %s. Ctrl-C stops it.\n", a.settings.Store)
	return nil
}

func requirements(functions []consumers.Function) (r kafka.Requirements) {
	derived := events.Notification{}.Topic()
	for _, f := range functions {
		topic := f.Consumer.Topic
		r.Read = append(r.Read, topic)
		r.Write = append(r.Write, bus.DeadLetterTopic(topic))
		if topic != derived {
			r.Write = append(r.Write, derived)
		}
	}
	return r
}

// allConsumers is the table of the consumers, to be read only.
func allConsumers() []consumers.Function { return consumers.Consumers{}.Functions() }

func topicsOfGroups() map[string]string {
	topics := map[string]string{}
	for _, f := range allConsumers() {
		topics[f.Consumer.Group] = f.Consumer.Topic
	}
	return topics
}

// startConsumers runs consumers until the parts are closed; the first failure is one of all. assigned, if not nil, is called
// with the partitions of a topic when they change.
func (a *app) startConsumers(functions []consumers.Function, assigned func(topic string, partitions []int32)) error {
	if err := consumers.Projected(a.store).Check(a.running); errors.Is(err, store.ErrBehind) {
		return err // anything else is an outage, which is waited out
	}
	deadLetters, err := a.openDeadLetters()
	if err != nil {
		return err
	}
	var members []*kafka.Member
	var running sync.WaitGroup
	for _, f := range functions {
		topic, group := f.Consumer.Topic, f.Consumer.Group
		log, count := bus.Log(a.logger, group, slog.LevelDebug), a.metrics.Events(topic, group)
		report := func(r bus.Report) {
			log(r)
			count(r)
		}
		member := kafka.NewMember(a.cluster, f.Consumer, kafka.Options{
			Logger: a.logger, Assigned: assigned, Advance: a.store.Advance, DeadLetters: deadLetters,
			Delivery: bus.Options{Report: report, Tracer: a.tracing.Events(), GiveUpAfter: a.settings.Notify.RetryFor},
		})
		a.metrics.Watch(member)
		members = append(members, member)
		running.Go(func() {
			if err := member.Run(a.running); err != nil {
				a.stop(err)
			}
		})
	}
	a.statuses = func() []kafka.Status { return collect(members, (*kafka.Member).Status) }
	a.checks = append(a.checks, a.consumersCheck())
	a.add("consumers", func(context.Context) error { // each has its own timeout
		running.Wait()
		return nil
	})
	return nil
}

// consumersCheck fails while a consumer does not read all of its partitions, and once it has found events lost from the log.
func (a *app) consumersCheck() web.Check {
	probe := func(context.Context) error {
		for _, s := range a.statuses() {
			if !s.Healthy() {
				return fmt.Errorf("the consumer of %s is not healthy", s.Topic)
			}
		}
		return nil
	}
	return web.Check{Name: "consumers", Probe: probe, Facts: func(error) any { return a.statuses() }}
}
