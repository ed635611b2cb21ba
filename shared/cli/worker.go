package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

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
			"It logs changes of its partitions, each event (ids, outcome, duration), and its lag; LOG_LEVEL=warn logs problems\n" +
			"only. --health serves /healthz (200 while the process runs) and /readyz (200 once every group is joined; 503, with\n" +
			"the causes, while a partition cannot be read, events fail in a row, the read model is unavailable, or the log has\n" +
			"lost events: a restart acknowledges a loss).\n\n" +
			"The partitions of a killed worker move to others after KAFKA_SESSION_TIMEOUT (default 10s, at least the brokers'\n" +
			"group.min.session.timeout.ms). With 1s that takes under 2s, but a machine that pauses for a second loses its\n" +
			"partitions, too. With a KAFKA_INSTANCE_ID of its own, a worker that restarts in that time gets its partitions back at\n" +
			"once, and keeps them when it stops.\n\n" + serverHelp + "\n\n" +
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
			return a.runServer(c.Context(), func(p *parts) error { return p.worker(c.Context(), only) })
		},
	}
	c.Flags().StringSliceVar(&only, "only", nil, "topics to consume, separated by commas (default all)")
	addFlags(c, "health", "brokers")
	return c
}

func (p *parts) worker(ctx context.Context, only []string) error {
	others := func(f consumers.Function) bool { return len(only) > 0 && !slices.Contains(only, f.Consumer.Topic) }
	if err := p.reach(ctx, requirements(slices.DeleteFunc(allConsumers(), others))); err != nil {
		return err
	}
	if err := p.open(ctx, p.settings.Store); err != nil {
		return err
	}
	functions := slices.DeleteFunc(p.consumers().Functions(), others)
	owned := &ownedPartitions{parts: p, groups: len(functions), byTopic: map[string][]int32{}, joined: make(chan struct{})}
	if err := p.startConsumers(functions, owned.assigned); err != nil {
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
	case <-owned.joined:
	case err := <-p.failed:
		return err
	case <-ctx.Done():
		return nil
	}
	var topics, groups []string
	for _, f := range functions {
		topics, groups = append(topics, f.Consumer.Topic), append(groups, f.Consumer.Group)
	}
	fmt.Fprintf(p.stdout, "ready topics=%s groups=%s\n\n", strings.Join(topics, ","), strings.Join(groups, ","))
	printConsumers(p.stdout, functions)
	fmt.Fprintf(p.stdout, "\nThe read model is %s. Ctrl-C stops it.\n", p.storeName())
	go p.logLag(ctx, groupTopics(functions))
	return nil
}

// requirements are the topics of the consumers, their dead letters, and the topic of derived notifications.
func requirements(functions []consumers.Function) (r kafka.Requirements) {
	derived := events.Notification{}.Topic()
	for _, f := range functions {
		topic := f.Consumer.Topic
		r.Read = append(r.Read, topic)
		r.Write = append(r.Write, bus.DeadLetterTopic(topic))
		r.Groups = append(r.Groups, f.Consumer.Group)
		if topic != derived && !slices.Contains(r.Write, derived) {
			r.Write = append(r.Write, derived)
		}
	}
	return r
}

// ownedPartitions are the partitions of a worker.
type ownedPartitions struct {
	*parts
	groups  int
	mu      sync.Mutex
	byTopic map[string][]int32 // once the topic's group is joined
	joined  chan struct{}      // closed once all groups are joined
}

// assigned logs changes.
func (o *ownedPartitions) assigned(topic string, now []int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, joined := o.byTopic[topic]
	o.byTopic[topic] = now
	if !joined || !slices.Equal(before, now) {
		o.logger.Info("partitions changed", "topic", topic, "before", before, "owned", now)
	}
	if !joined && len(o.byTopic) == o.groups {
		close(o.joined)
	}
}

// lagInterval is how often a worker logs the lag of its groups.
const lagInterval = 30 * time.Second

// logLag logs the lag of the groups at the start, and regularly of those that are behind.
func (p *parts) logLag(ctx context.Context, topicOf map[string]string) {
	ticker := time.NewTicker(lagInterval)
	defer ticker.Stop()
	for first := true; ctx.Err() == nil; first = false {
		asking, cancel := context.WithTimeout(ctx, reachTimeout)
		states, err := kafka.Groups(asking, p.cluster, topicOf)
		cancel()
		if err != nil && ctx.Err() == nil {
			p.logger.Warn("the lag of the groups is unknown", "error", err)
		}
		for _, g := range states {
			if first || g.Lag > 0 {
				p.logger.Info("lag", "topic", g.Topic, "group", g.Group, "events", g.Lag, "members", len(g.Members), "state", g.State)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}
