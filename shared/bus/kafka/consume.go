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
	SessionTimeout time.Duration   // after how long the group gives up a worker that died; the cluster's, or 10 s
	CloseTimeout   time.Duration   // how long handlers may go on at a rebalance; 10 s
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
// When ctx is done, Consume finishes or abandons the work in hand, commits what is handled, leaves the group, so that the
// other members get its partitions immediately, and returns nil.
//
// If a handler ignores its deadline, Consume returns an error and stays in the group: the process must end, so that no
// other member works on that handler's key while it runs.
func Consume(ctx context.Context, cluster settings.Kafka, c bus.Consumer, o Options) error {
	consumption := &consumption{Status: Status{Topic: c.Topic, Group: c.Group}, cluster: cluster, consumer: c,
		options: o.withDefaults(cluster)}
	ctx, consumption.stop = context.WithCancel(ctx)
	defer consumption.stop()
	o = consumption.options
	consumption.log = newOutage(cluster.Brokers, o.Logger).log(false)
	if o.DeadLetters == nil {
		deadLetters, err := NewDeadLetters(cluster, o.Logger)
		if err != nil {
			return err
		}
		defer deadLetters.Close()
		o.DeadLetters = deadLetters
	}
	o.Delivery.Overrun = consumption.fail
	consumption.engine = bus.NewEngine(c, o.DeadLetters, o.Delivery)
	defer o.Watch.begin(consumption)()
	for {
		m, err := consumption.join()
		if err != nil {
			return err
		}
		err = m.run(ctx)
		consumption.enter(nil)
		if !errors.Is(err, errTopicReplaced) {
			return err
		}
		if err := consumption.awaitTopic(ctx); err != nil {
			return err
		}
	}
}

func (o Options) withDefaults(cluster settings.Kafka) Options {
	o.SessionTimeout = cmp.Or(o.SessionTimeout, cluster.SessionTimeout, 10*time.Second)
	o.CommitInterval = cmp.Or(o.CommitInterval, time.Second)
	o.CloseTimeout = cmp.Or(o.CloseTimeout, 10*time.Second)
	o.StopTimeout = cmp.Or(o.StopTimeout, 8*time.Second)
	o.MetadataAge = cmp.Or(o.MetadataAge, 30*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	o.Delivery.Logger = cmp.Or(o.Delivery.Logger, o.Logger)
	if o.Assigned == nil {
		o.Assigned = func(string, []int32) {}
	}
	return o
}

// join makes a member with a client of its own, which joins the group.
func (c *consumption) join() (*member, error) {
	m := &member{consumption: c, partitions: map[int32]*assigned{}, committing: make(chan struct{}, 1)}
	o := &c.options
	options := []kgo.Opt{
		kgo.ConsumerGroup(c.Group),
		kgo.ConsumeTopics(c.Topic),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // see outOfRange
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // a partition is not revoked while its records are being delivered
		kgo.SessionTimeout(o.SessionTimeout),
		kgo.HeartbeatInterval(o.SessionTimeout / 4),
		kgo.RebalanceTimeout(2*o.CloseTimeout + o.SessionTimeout), // giveUp's handlers and commit, and some
		// By default after 5 minutes; publishers that came later write to those partitions long before.
		kgo.MetadataMaxAge(o.MetadataAge),
		kgo.MetadataMinAge(min(o.MetadataAge, 5*time.Second)), // the client's default, where it may be
		kgo.FetchMaxBytes(8 << 20),
		kgo.FetchMaxWait(500 * time.Millisecond), // a partition that is resumed waits for the fetch that is under way
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepRetryableFetchErrors(), // of these the client would report an unknown topic too late
		kgo.OnPartitionsAssigned(m.assign),
		kgo.AdjustFetchOffsetsFn(m.begin),
		kgo.OnPartitionsRevoked(m.revoke),
		kgo.OnPartitionsLost(m.lose),
		kgo.WithHooks(m),
	}
	if c.cluster.InstanceID != "" {
		options = append(options, kgo.InstanceID(c.cluster.InstanceID))
	}
	client, err := newClient(c.cluster, o.Logger, options...)
	if err != nil {
		return nil, err
	}
	m.client = client
	c.enter(m)
	return m, nil
}

// errTopicReplaced ends a member. Its client holds on to the topic that it has found first and refuses any other of the same
// name, and none of its offsets may be committed on that one.
var errTopicReplaced = errors.New("the topic was deleted, or deleted and created again")

// awaitTopic returns once there is a topic of the name.
func (c *consumption) awaitTopic(ctx context.Context) error {
	c.options.Logger.Warn("the topic was deleted, or deleted and created again; its consumer starts over", "topic", c.Topic,
		"group", c.Group)
	c.setFault(errTopicReplaced.Error() + "; `sipeat topics` creates a missing one")
	defer c.setFault("")
	client, err := newClient(c.cluster, c.options.Logger)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for {
		topics, err := admin.ListTopics(ctx, c.Topic)
		if err == nil && topics[c.Topic].Err == nil && len(topics[c.Topic].Partitions) > 0 {
			return nil
		}
		if !pause(ctx, time.Second) {
			return nil
		}
	}
}

// fail ends the consumption.
func (c *consumption) fail(err error) {
	c.mu.Lock()
	if c.failure == nil {
		c.failure = fmt.Errorf("consumer %s: %w", c.Group, err)
	}
	c.mu.Unlock()
	c.stop()
}

func (c *consumption) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}
