package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options tune a consumer; the zero value of each means its default.
type Options struct {
	Delivery       bus.Options
	DeadLetters    bus.DeadLetters // where rejected events go; by default the topic's dead-letter topic
	CommitInterval time.Duration   // how often offsets are committed; 1 s
	SessionTimeout time.Duration   // after which the group removes a dead worker; the cluster's, or 10 s
	CloseTimeout   time.Duration   // how long handlers may run on at a rebalance; 10 s
	StopTimeout    time.Duration   // how long the end may take in all, half of it for handlers; 8 s: Docker kills after 10 s
	MetadataAge    time.Duration   // after how long partitions that were added to the topic are noticed; 30 s
	Logger         *slog.Logger
	// Assigned, if set, is called with the partitions that this worker has, each time they change.
	Assigned func(topic string, partitions []int32)
	// Advance, if set, is called when partitions are assigned, with the offsets at which they begin as from and to, and before
	// each commit, with what it adds to that. Offsets are committed once it has returned nil.
	Advance func(ctx context.Context, topic string, from, to map[int32]int64) error
	// Watch, if set, shows the consumer while it runs.
	Watch *Watch
}

// Consume delivers the events of a topic to the consumer, as a member of its consumer group, until ctx is done or an error
// occurs that no retry cures. A new group begins at the topic's earliest record; one with committed offsets resumes there,
// whichever program committed them. A topic that was deleted and created again is read from its earliest record.
//
// When ctx is done, Consume finishes or abandons the work in progress, commits what is handled, leaves the group, so that the
// other members get its partitions immediately, and returns nil.
//
// If a handler ignores its deadline, Consume returns an error and stays in the group: the process must end, so that no
// other member works on that handler's key while it runs.
func Consume(ctx context.Context, cluster settings.Kafka, c bus.Consumer, o Options) error {
	o = o.withDefaults(cluster)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if o.DeadLetters == nil {
		deadLetters, err := NewDeadLetters(cluster, o.Logger)
		if err != nil {
			return err
		}
		defer deadLetters.Close()
		o.DeadLetters = deadLetters
	}
	run := &consumption{Watch: o.Watch, Options: o, cluster: cluster, topic: c.Topic, group: c.Group,
		outage: newOutage(cluster.Brokers, o.Logger), warned: map[string]time.Time{}, stop: stop}
	o.Delivery.Overrun = run.fail
	run.set(func() {
		run.running, run.status = true, Status{Topic: c.Topic, Group: c.Group}
		run.engine = bus.NewEngine(c, o.DeadLetters, o.Delivery)
	})
	defer run.set(func() { run.running = false })
	for {
		m, err := run.join()
		if err != nil {
			return err
		}
		err = m.run(ctx)
		run.set(func() { run.member = nil })
		if !errors.Is(err, errTopicReplaced) {
			return err
		}
		if err := run.awaitTopic(ctx); err != nil {
			return err
		}
	}
}

// consumption is one run of [Consume].
type consumption struct {
	*Watch
	Options
	cluster      settings.Kafka
	topic, group string
	outage       *outage
	warned       map[string]time.Time // by message
	stop         context.CancelFunc
	failure      error // why it ended by itself
}

// fail ends the consumption.
func (c *consumption) fail(err error) {
	c.set(func() {
		if c.failure == nil {
			c.failure = fmt.Errorf("consumer %s: %w", c.group, err)
		}
	})
	c.stop()
}

func (c *consumption) failed() (err error) {
	c.set(func() { err = c.failure })
	return err
}

func (o Options) withDefaults(cluster settings.Kafka) Options {
	o.SessionTimeout = cmp.Or(o.SessionTimeout, cluster.SessionTimeout, 10*time.Second)
	o.CommitInterval = cmp.Or(o.CommitInterval, time.Second)
	o.CloseTimeout = cmp.Or(o.CloseTimeout, 10*time.Second)
	o.StopTimeout = cmp.Or(o.StopTimeout, 8*time.Second)
	o.MetadataAge = cmp.Or(o.MetadataAge, 30*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.Delivery.Logger = cmp.Or(o.Delivery.Logger, o.Logger)
	o.Watch = cmp.Or(o.Watch, &Watch{})
	if o.Assigned == nil {
		o.Assigned = func(string, []int32) {}
	}
	if o.Advance == nil {
		o.Advance = func(context.Context, string, map[int32]int64, map[int32]int64) error { return nil }
	}
	return o
}

// join makes a member with a client of its own, which joins the group.
func (c *consumption) join() (*member, error) {
	m := &member{consumption: c, partitions: map[int32]*partition{}, committing: make(chan struct{}, 1)}
	options := []kgo.Opt{
		kgo.ConsumerGroup(c.group),
		kgo.ConsumeTopics(c.topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // see outOfRange
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // a partition is not revoked while its records are being delivered
		kgo.SessionTimeout(c.SessionTimeout),
		kgo.HeartbeatInterval(c.SessionTimeout / 4),
		kgo.RebalanceTimeout(2*c.CloseTimeout + c.SessionTimeout), // giveUp's handlers and commit, and some
		// By default after 5 minutes; publishers that came later write to those partitions long before.
		kgo.MetadataMaxAge(c.MetadataAge),
		kgo.MetadataMinAge(min(c.MetadataAge, 5*time.Second)), // the client's default, where it may be
		kgo.FetchMaxBytes(8 << 20),
		kgo.KeepRetryableFetchErrors(), // of these the client would report an unknown topic too late
		kgo.OnPartitionsAssigned(m.onAssigned),
		kgo.AdjustFetchOffsetsFn(m.begin),
		kgo.OnPartitionsRevoked(m.onRevoked),
		kgo.OnPartitionsLost(m.onLost),
		kgo.WithHooks(m),
	}
	if c.cluster.InstanceID != "" {
		options = append(options, kgo.InstanceID(c.cluster.InstanceID))
	}
	client, err := newClient(c.cluster, c.Logger, options...)
	if err != nil {
		return nil, err
	}
	c.set(func() { m.client, c.member = client, m })
	return m, nil
}

// errTopicReplaced ends a member. Its client holds on to the topic that it has found first and refuses any other of the same
// name, and none of its offsets may be committed on that one.
var errTopicReplaced = errors.New("the topic was deleted, or deleted and created again")

// awaitTopic returns once there is a topic of the name.
func (c *consumption) awaitTopic(ctx context.Context) error {
	c.Logger.Warn("the topic was deleted, or deleted and created again; its consumer starts over", "topic", c.topic,
		"group", c.group)
	c.set(func() { c.status.Fault = errTopicReplaced.Error() + "; `sipeat topics` creates a missing one" })
	defer c.set(func() { c.status.Fault = "" })
	client, err := newClient(c.cluster, c.Logger)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		topics, err := kadm.NewClient(client).ListTopics(ctx, c.topic)
		if err == nil && len(topics[c.topic].Partitions) > 0 || !pause(ctx, time.Second) {
			return nil
		}
	}
}
