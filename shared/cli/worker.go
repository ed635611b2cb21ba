package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
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
			"It logs changes of its partitions and each event (ids, outcome, duration); LOG_LEVEL=warn logs problems only.\n" +
			"--health serves /healthz (200 while the process runs) and /readyz (200 once every group is joined; 503, with the\n" +
			"causes, while a partition cannot be read, events fail in a row, the read model is unavailable, or the log has\n" +
			"lost events: a restart acknowledges a loss). METRICS serves lag and rates.\n\n" +
			"The partitions of a killed worker move to others after KAFKA_SESSION_TIMEOUT (default 10s). With a\n" +
			"KAFKA_INSTANCE_ID of its own, a worker that restarts in that time keeps its partitions.\n\n" + serverHelp + "\n\n" +
			"Topics: " + strings.Join(topicNames(), ", "),
		Example: "  sipeat worker\n" +
			"  sipeat worker --only notification\n" +
			"  KAFKA_SESSION_TIMEOUT=1s LOG_LEVEL=warn sipeat worker --brokers kafka1:9092,kafka2:9092",
		Args:        cobra.NoArgs,
		Annotations: server,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("only") && len(only) == 0 { // a variable of a script that is not set
				return usageError{fmt.Errorf("--only: no topic given; topics: %s", strings.Join(topicNames(), ", "))}
			}
			for _, topic := range only {
				if !slices.Contains(topicNames(), topic) {
					return usageError{fmt.Errorf("--only: unknown topic %q; topics: %s", topic, strings.Join(topicNames(), ", "))}
				}
			}
			return a.runServer(c.Context(), func(p *parts, ctx context.Context) error { return p.worker(ctx, only) })
		},
	}
	c.Flags().StringSliceVar(&only, "only", nil, "topics to consume, separated by commas (default all)")
	addFlags(c, "health", "brokers")
	return c
}

func (p *parts) worker(ctx context.Context, only []string) error {
	others := func(f consumers.Function) bool { return len(only) > 0 && !slices.Contains(only, f.Consumer.Topic) }
	needs := requirements(slices.DeleteFunc(allConsumers(), others))
	if err := p.reach(ctx, needs); err != nil {
		return err
	}
	if err := p.open(ctx, p.settings.Store); err != nil {
		return err
	}
	functions := slices.DeleteFunc(p.consumers().Functions(), others)
	owned, joined := map[string][]int32{}, make(chan struct{}) // by topic, once its group is joined; closed once all are joined
	var mu sync.Mutex
	err := p.startConsumers(functions, func(topic string, now []int32) {
		mu.Lock()
		defer mu.Unlock()
		before, known := owned[topic]
		if owned[topic] = now; !known || !slices.Equal(before, now) {
			p.logger.Info("partitions changed", "topic", topic, "before", before, "owned", now)
		}
		if !known && len(owned) == len(functions) {
			close(joined)
		}
	})
	if err != nil {
		return err
	}
	if p.settings.Health != "" {
		health := web.Router(web.Health(append(p.checks, p.storeCheck())...))
		if err := p.listenAndServe("health", p.settings.Health, "--health (HEALTH)", "/readyz", health); err != nil {
			return err
		}
	}
	p.logger.Info("joining the groups; the partitions of a killed worker are free when its session ends")
	select {
	case <-joined:
	case err := <-p.failed:
		return err
	case <-ctx.Done():
		return nil
	}
	var groups []string
	for _, f := range functions {
		groups = append(groups, f.Consumer.Group)
	}
	fmt.Fprintf(p.stdout, "ready topics=%s groups=%s\n\n", strings.Join(needs.Read, ","), strings.Join(groups, ","))
	printConsumers(p.stdout, functions)
	fmt.Fprintf(p.stdout, "\nThe read model is %s. Ctrl-C stops it.\n", p.storeName())
	return nil
}

// requirements are the topics of the consumers, their dead-letter topics, and the topic of derived notifications.
func requirements(functions []consumers.Function) (r kafka.Requirements) {
	derived := events.Notification{}.Topic()
	for _, f := range functions {
		topic := f.Consumer.Topic
		r.Read = append(r.Read, topic)
		r.Write = append(r.Write, bus.DeadLetterTopic(topic))
		if topic != derived && !slices.Contains(r.Write, derived) {
			r.Write = append(r.Write, derived)
		}
	}
	return r
}
