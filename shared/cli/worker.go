package cli

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/sipeat/sipeat/functions/consumers"
	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/bus/kafka"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/spf13/cobra"
)

func (a *app) workerCommand() *cobra.Command {
	var brokers, health string
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
			cluster, err := a.cluster(brokers)
			if err != nil {
				return err
			}
			if c.Flags().Changed("only") && len(only) == 0 { // a variable of a script that is not set
				return wrongUsage(c, fmt.Errorf("--only: no topic given; omit it for all topics, or choose from %s",
					strings.Join(topicNames(), ", ")))
			}
			for _, topic := range only {
				if !slices.Contains(topicNames(), topic) {
					return wrongUsage(c, fmt.Errorf("--only: unknown topic %q%s; choose from %s",
						topic, didYouMean(topic, topicNames()), strings.Join(topicNames(), ", ")))
				}
			}
			if !c.Flags().Changed("health") {
				health = a.settings.Health
			}
			if health != "" && settings.Address(health) != nil {
				return wrongUsage(c, fmt.Errorf("--health: must be host:port; for example 127.0.0.1:8081"))
			}
			return a.worker(c.Context(), cluster, only, health)
		},
	}
	c.Flags().StringSliceVar(&only, "only", nil, "topics to consume, separated by commas (default all)")
	c.Flags().StringVar(&health, "health", "", "address for /healthz and /readyz, for example 127.0.0.1:8081 (HEALTH; default none)")
	c.Flags().StringVar(&brokers, "brokers", "", brokersUsage)
	return c
}

func (a *app) worker(ctx context.Context, cluster settings.Kafka, only []string, health string) (err error) {
	signal.Ignore(syscall.SIGPIPE)
	p := a.newParts(cluster)
	defer func() { err = errors.Join(err, p.close()) }()
	chosen := func(f consumers.Function) bool {
		return len(only) == 0 || slices.Contains(only, f.Consumer.Topic)
	}
	if p.cluster, err = a.reach(ctx, cluster, requirements(allConsumers(), chosen)); err != nil {
		return p.unlessAsked(ctx, err)
	}
	if err := p.open(ctx, a.settings.Store); err != nil {
		return p.unlessAsked(ctx, err)
	}
	functions := slices.DeleteFunc(p.consumers().Functions(), func(f consumers.Function) bool { return !chosen(f) })
	s := &assignments{app: a, functions: functions, owned: map[string][]int32{}, ready: make(chan struct{})}
	if err := p.startConsumers(functions, s.assigned); err != nil {
		return err
	}
	if health != "" {
		if err := p.serveHealth(health); err != nil {
			return err
		}
	}
	a.logger.Info("joining the groups; the partitions of a killed worker are free when its session ends")
	select {
	case <-s.ready:
		s.printReady()
	case err := <-p.failed:
		return err
	case <-ctx.Done():
		return nil
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go s.watchLag(watching, p.cluster)
	return p.wait(ctx)
}

// requirements are the topics of the chosen consumers, their dead letters, and the topic of derived notifications.
func requirements(functions []consumers.Function, chosen func(consumers.Function) bool) (n kafka.Requirements) {
	for _, f := range functions {
		if !chosen(f) {
			continue
		}
		topic := f.Consumer.Topic
		n.Read = append(n.Read, topic)
		n.Write = append(n.Write, bus.DeadLetterTopic(topic))
		n.Groups = append(n.Groups, f.Consumer.Group)
		if announced := (events.Notification{}).Topic(); topic != announced && !slices.Contains(n.Write, announced) {
			n.Write = append(n.Write, announced)
		}
	}
	return n
}

// assignments shows the partitions of a worker.
type assignments struct {
	app       *app
	functions []consumers.Function
	mu        sync.Mutex
	owned     map[string][]int32 // by topic, once its group is joined
	ready     chan struct{}      // closed once all groups are joined
}

// assigned logs changes.
func (s *assignments) assigned(topic string, now []int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, joined := s.owned[topic]
	assigned := slices.DeleteFunc(slices.Clone(now), func(n int32) bool { return slices.Contains(before, n) })
	revoked := slices.DeleteFunc(slices.Clone(before), func(n int32) bool { return slices.Contains(now, n) })
	s.owned[topic] = now
	if !joined || len(assigned)+len(revoked) > 0 {
		s.app.logger.Info("partitions changed", "topic", topic, "assigned", assigned, "revoked", revoked, "owned", now)
	}
	if !joined && len(s.owned) == len(s.functions) {
		close(s.ready)
	}
}

// printReady prints the line for scripts, and the consumers.
func (s *assignments) printReady() {
	var topics, groups []string
	for _, f := range s.functions {
		topics, groups = append(topics, f.Consumer.Topic), append(groups, f.Consumer.Group)
	}
	fmt.Fprintf(s.app.stdout, "ready topics=%s groups=%s\n\n", strings.Join(topics, ","), strings.Join(groups, ","))
	table := tabwriter.NewWriter(s.app.stdout, 0, 0, 2, ' ', 0)
	showConsumers(table, s.functions)
	_ = table.Flush() // the reader may have gone
	fmt.Fprintf(s.app.stdout, "\nThe read model is %s. Ctrl-C stops it.\n", s.app.storeName())
}

// lagInterval is how often a worker logs the lag of its groups.
const lagInterval = 30 * time.Second

// watchLag logs the lag of groups that are behind, at once and regularly, and once more when they have caught up.
func (s *assignments) watchLag(ctx context.Context, cluster settings.Kafka) {
	topicOf, behind := map[string]string{}, map[string]bool{}
	for _, f := range s.functions {
		topicOf[f.Consumer.Group] = f.Consumer.Topic
		behind[f.Consumer.Group] = true
	}
	ticker := time.NewTicker(lagInterval)
	defer ticker.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, reachTimeout)
		groups, err := kafka.Groups(asking, cluster, topicOf)
		cancel()
		if err != nil && ctx.Err() == nil {
			s.app.logger.Warn("the lag of the groups is unknown", "error", err)
		}
		for _, g := range groups {
			if g.Lag > 0 || behind[g.Group] {
				s.app.logger.Info("lag", "topic", g.Topic, "group", g.Group, "events", g.Lag, "members", len(g.Members), "state", g.State)
			}
			behind[g.Group] = g.Lag > 0
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
