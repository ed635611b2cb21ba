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
		Long: "Run the consumers: each takes the events of its topic into the read model and tells people. Any number of\n" +
			"workers may run; Kafka shares the partitions among them. The first line on standard output, once it has\n" +
			"joined every group, is: ready topics=TOPIC,… groups=GROUP,…\n\n" +
			"Standard error has a line for each partition that comes or goes, each event (ids, outcome, time), and\n" +
			"now and then how far behind it is; LOG_LEVEL=warn leaves only what is not as it should be. SIGTERM or\n" +
			"Ctrl-C finishes the work in hand, commits it and leaves the groups, within 8 s; the exit status is 0.\n\n" +
			"With --health it serves /healthz, which answers while the process runs, and /readyz, which is 200 once every group\n" +
			"is joined and 503 while a partition cannot be read, events fail in a row, the read model is away, or the log lost\n" +
			"events; its JSON names them. A restart acknowledges a loss.\n\n" +
			"It does not start when the brokers cannot be reached, do not let it in, or lack a topic or a right: it says\n" +
			"which, and ends with status 1 (2 for wrong settings). What breaks later is tried again and shown.\n\n" +
			"After kill -9 or a power cut a worker's partitions go to the others once KAFKA_SESSION_TIMEOUT is over (10s;\n" +
			"the brokers take group.min.session.timeout.ms, 6s unless set, or more). With 1s it takes less than 2s, and a\n" +
			"machine that stands still for a second counts as dead: its partitions move, and some events come twice. A worker\n" +
			"with a KAFKA_INSTANCE_ID of its own that is started again within that time has its partitions back at once; but\n" +
			"it does not give them up when it ends either.\n\n" +
			kafkaHelp + "STORE is the path of a SQLite file, which the API and other workers on this machine may have open too.\n\n" +
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
				return wrongUsage(c, fmt.Errorf("--only: names no topic; leave it out to consume all, or name some of %s", strings.Join(topicNames(), ", ")))
			}
			for _, topic := range only {
				if !slices.Contains(topicNames(), topic) {
					return wrongUsage(c, fmt.Errorf("--only: %q is none of %s", topic, strings.Join(topicNames(), ", ")))
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
	c.Flags().StringSliceVar(&only, "only", nil, "the topics to consume, separated by commas (by default all)")
	c.Flags().StringVar(&health, "health", "", "where to serve /healthz and /readyz, such as 127.0.0.1:8081 (HEALTH; by default nowhere)")
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
	if p.cluster, err = a.reach(ctx, cluster, needs(allConsumers(), chosen)); err != nil {
		return p.unlessAsked(ctx, err)
	}
	if err := p.open(ctx, a.settings.Store); err != nil {
		return p.unlessAsked(ctx, err)
	}
	functions := slices.DeleteFunc(p.consumers().Functions(), func(f consumers.Function) bool { return !chosen(f) })
	s := &shift{app: a, functions: functions, has: map[string][]int32{}, ready: make(chan struct{})}
	if err := p.startConsumers(functions, s.assigned); err != nil {
		return err
	}
	if health != "" {
		if err := p.serveHealth(health); err != nil {
			return err
		}
	}
	a.logger.Info("joining the groups: partitions of a worker that was killed are free when its session ends")
	select {
	case <-s.ready:
		s.welcome()
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

// needs is what the consumers rely on: their topics, the dead letters of those, and where their announcements go.
func needs(functions []consumers.Function, chosen func(consumers.Function) bool) (n kafka.Requirements) {
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

// shift is what a worker has in hand, as it is shown.
type shift struct {
	app       *app
	functions []consumers.Function
	mu        sync.Mutex
	has       map[string][]int32 // by topic; a topic is here once its group was joined
	ready     chan struct{}      // closed once all are
}

// assigned shows what came and what went.
func (s *shift) assigned(topic string, now []int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, joined := s.has[topic]
	came := slices.DeleteFunc(slices.Clone(now), func(n int32) bool { return slices.Contains(before, n) })
	went := slices.DeleteFunc(slices.Clone(before), func(n int32) bool { return slices.Contains(now, n) })
	s.has[topic] = now
	if !joined || len(came)+len(went) > 0 {
		s.app.logger.Info("partitions changed", "topic", topic, "assigned", came, "revoked", went, "owned", now)
	}
	if !joined && len(s.has) == len(s.functions) {
		close(s.ready)
	}
}

// welcome says that every group has taken the worker. The first line is for scripts.
func (s *shift) welcome() {
	var topics, groups []string
	for _, f := range s.functions {
		topics, groups = append(topics, f.Consumer.Topic), append(groups, f.Consumer.Group)
	}
	fmt.Fprintf(s.app.stdout, "ready topics=%s groups=%s\n\n", strings.Join(topics, ","), strings.Join(groups, ","))
	table := tabwriter.NewWriter(s.app.stdout, 0, 0, 2, ' ', 0)
	showConsumers(table, s.functions)
	_ = table.Flush() // whoever reads it may have gone
	fmt.Fprintf(s.app.stdout, "\nThe read model is %s. Ctrl-C ends it.\n", s.app.storeName())
}

// lagInterval is how often a worker says how far behind its groups are, if they are.
const lagInterval = 30 * time.Second

// watchLag says at once and then regularly how many events wait, and once that none do any more.
func (s *shift) watchLag(ctx context.Context, cluster settings.Kafka) {
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
			s.app.logger.Warn("how far behind the groups are cannot be said", "error", err)
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
