package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options tune a consumer; the zero value of each means its default.
type Options struct {
	Delivery       bus.Options
	DeadLetters    bus.DeadLetters // where rejected events go; by default the topic's dead-letter topic
	CommitInterval time.Duration   // how often offsets are committed; 1 s
	SessionTimeout time.Duration   // after how long a worker that died is given up by the group; the cluster's, or 10 s
	CloseTimeout   time.Duration   // how long handlers may go on at a rebalance; 10 s
	StopTimeout    time.Duration   // how long the end may take in all, half of it for handlers; 8 s: Docker kills after 10 s
	MetadataAge    time.Duration   // after how long partitions that were added to the topic are seen; 30 s
	Logger         *slog.Logger
	// Assigned, if set, is told which partitions this worker has, each time that changes.
	Assigned func(topic string, partitions []int32)
	// Watch, if set, shows the consumer while it runs.
	Watch *Watch
}

// Consume takes the events of a topic in a consumer group and gives each to the consumer, until ctx is done or something
// fails that trying again does not mend. A group that is new begins at the topic's earliest record; one that has committed
// offsets goes on there, whichever program committed them.
//
// When ctx is done it finishes or abandons the work in hand, commits what is handled, leaves the group, so that others
// have its partitions at once, and returns nil.
//
// A handler that ignores its deadline makes it return an error, and then it stays in the group: the process must end, so
// that nobody else works on that handler's key while it runs.
func Consume(ctx context.Context, cluster settings.Kafka, c bus.Consumer, o Options) error {
	m := &member{
		consumer: c, options: o.withDefaults(cluster), partitions: map[int32]*assigned{}, committing: make(chan struct{}, 1),
	}
	ctx, m.stop = context.WithCancel(ctx)
	defer m.stop()
	if m.options.DeadLetters == nil {
		letters, err := NewDeadLetters(cluster, o.Logger)
		if err != nil {
			return err
		}
		defer letters.Close()
		m.options.DeadLetters = letters
	}
	delivery := m.options.Delivery
	delivery.Overrun = m.fail
	m.engine = bus.NewEngine(c, m.options.DeadLetters, delivery)
	client, err := newClient(cluster, o.Logger, joining(m, cluster,
		kgo.ConsumerGroup(c.Group),
		kgo.ConsumeTopics(c.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // a partition is not taken away while its records are being handed over
		kgo.SessionTimeout(m.options.SessionTimeout),
		kgo.HeartbeatInterval(m.options.SessionTimeout/4),
		kgo.RebalanceTimeout(2*m.options.CloseTimeout+m.options.SessionTimeout), // giveUp's handlers and commit, and some
		// By default after 5 minutes; publishers that came later write to those partitions long before.
		kgo.MetadataMaxAge(m.options.MetadataAge),
		kgo.MetadataMinAge(min(m.options.MetadataAge, 5*time.Second)), // the client's own, where it may be
		kgo.FetchMaxBytes(8<<20),
		kgo.FetchMaxWait(500*time.Millisecond), // a partition that is resumed waits for the fetch that is under way
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.OnPartitionsAssigned(m.assign),
		kgo.OnPartitionsRevoked(m.revoke),
		kgo.OnPartitionsLost(m.lose),
	)...)
	if err != nil {
		return err
	}
	m.client = client
	defer o.Watch.begin(m)()
	return m.run(ctx)
}

func (o Options) withDefaults(cluster settings.Kafka) Options {
	if o.SessionTimeout == 0 {
		o.SessionTimeout = cluster.SessionTimeout
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&o.CommitInterval, time.Second}, {&o.SessionTimeout, 10 * time.Second}, {&o.CloseTimeout, 10 * time.Second}, {&o.StopTimeout, 8 * time.Second}, {&o.MetadataAge, 30 * time.Second}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Delivery.Logger == nil {
		o.Delivery.Logger = o.Logger
	}
	if o.Assigned == nil {
		o.Assigned = func(string, []int32) {}
	}
	return o
}

// member is one of a consumer group: a worker, for one topic.
type member struct {
	consumer bus.Consumer
	options  Options
	engine   *bus.Engine
	client   *kgo.Client // not for callbacks, which may be called before it is set
	stop     context.CancelFunc

	committing chan struct{} // holds whoever commits: a commit that is late must not undo one that came after it
	mu         sync.Mutex
	partitions map[int32]*assigned
	failure    error // why it ended, when nobody asked it to
}

// assigned is a partition that this member has.
type assigned struct {
	*bus.Partition
	room      chan struct{} // says that a full partition may have room again
	committed int64
}

func (m *member) run(ctx context.Context) error {
	var committing sync.WaitGroup
	committing.Go(func() { m.commitRegularly(ctx) })
	for ctx.Err() == nil {
		fetches := m.client.PollFetches(ctx)
		fetches.EachError(m.fetchError)
		fetches.EachPartition(m.deliver)
		m.holdBack(ctx, fetches)
		m.client.AllowRebalance()
	}
	end := time.Now().Add(m.options.StopTimeout)
	committing.Wait()
	m.giveUp(m.client, m.all(), m.options.StopTimeout, m.commitAll)
	if err := m.failed(); err != nil {
		return err
	}
	m.leave(max(time.Until(end), lastRequest))
	return m.failed()
}

// lastRequest is what a broker that answers needs at least, when the time is over.
const lastRequest = 500 * time.Millisecond

// leave leaves the group and closes the client, unless no broker answers in time.
func (m *member) leave(timeout time.Duration) {
	left := make(chan struct{})
	go func() {
		m.client.CloseAllowingRebalance()
		close(left)
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-left:
	case <-timer.C:
		m.options.Logger.Warn("the group could not be left in time; others have to wait for the session to end", "group", m.consumer.Group)
	}
}

// fail ends the member.
func (m *member) fail(err error) {
	m.mu.Lock()
	if m.failure == nil {
		m.failure = fmt.Errorf("consumer %s: %w", m.consumer.Group, err)
	}
	m.mu.Unlock()
	m.stop()
}

func (m *member) failed() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.failure
}

func (m *member) deliver(fetched kgo.FetchTopicPartition) {
	m.mu.Lock()
	p := m.partitions[fetched.Partition]
	m.mu.Unlock()
	if p == nil || len(fetched.Records) == 0 {
		return
	}
	p.Deliver(fromKgo(fetched.Records))
}

// patience is how long a full partition may hold up the others before it is paused. Most have room again much sooner,
// and to pause costs more than that: the client drops what it has fetched ahead.
const patience = 50 * time.Millisecond

// holdBack waits until none of the partitions that got records is full, and pauses those that stay so.
func (m *member) holdBack(ctx context.Context, fetches kgo.Fetches) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	fetches.EachPartition(func(fetched kgo.FetchTopicPartition) {
		m.mu.Lock()
		p := m.partitions[fetched.Partition]
		m.mu.Unlock()
		for p != nil && p.Full() {
			select {
			case <-p.room:
			case <-ctx.Done():
				only := map[string][]int32{m.consumer.Topic: {fetched.Partition}}
				m.client.PauseFetchPartitions(only)
				if !p.Full() { // it emptied before the pause, so nobody else will end it
					m.client.ResumeFetchPartitions(only)
				}
				return
			}
		}
	})
}

func (m *member) fetchError(topic string, partition int32, err error) {
	var session *kgo.ErrGroupSession
	logger := limited(m.options.Logger).With("group", m.consumer.Group)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed):
	case errors.As(err, &session):
		logger.Error("cannot take part in the consumer group; it is joined again", "topic", m.consumer.Topic, "error", session.Err)
	case topic == "" || partition < 0: // no partition of it alone
		logger.Error("cannot read", "topic", m.consumer.Topic, "error", err)
	default:
		logger.Error("cannot read", "topic", topic, "partition", partition, "error", err)
	}
}
