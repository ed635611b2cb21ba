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
	Letters        bus.DeadLetters // where rejected events go; by default the topic's dead-letter topic
	CommitInterval time.Duration   // how often offsets are committed; 1 s
	SessionTimeout time.Duration   // after how long a worker that died is given up by the group; the cluster's, or 10 s
	CloseTimeout   time.Duration   // how long handlers may go on at a rebalance and at the end; 10 s
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
	w := &worker{
		consumer: c, options: o.withDefaults(cluster), partitions: map[int32]*assigned{}, committing: make(chan struct{}, 1),
	}
	ctx, w.stop = context.WithCancel(ctx)
	defer w.stop()
	if w.options.Letters == nil {
		letters, err := NewDeadLetters(cluster, o.Logger)
		if err != nil {
			return err
		}
		defer letters.Close()
		w.options.Letters = letters
	}
	delivery := w.options.Delivery
	delivery.Overrun = w.fail
	w.engine = bus.NewEngine(c, w.options.Letters, delivery)
	client, err := newClient(cluster, o.Logger, joining(w, cluster,
		kgo.ConsumerGroup(c.Group),
		kgo.ConsumeTopics(c.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // a partition is not taken away while its records are being handed over
		kgo.SessionTimeout(w.options.SessionTimeout),
		kgo.HeartbeatInterval(w.options.SessionTimeout/4),
		kgo.RebalanceTimeout(2*w.options.CloseTimeout+w.options.SessionTimeout), // giveUp's handlers and commit, and some
		kgo.FetchMaxBytes(8<<20),
		kgo.FetchMaxWait(500*time.Millisecond), // a partition that is resumed waits for the fetch that is under way
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.OnPartitionsAssigned(w.assign),
		kgo.OnPartitionsRevoked(w.revoke),
		kgo.OnPartitionsLost(w.lose),
	)...)
	if err != nil {
		return err
	}
	w.client = client
	defer o.Watch.begin(w)()
	return w.run(ctx)
}

func (o Options) withDefaults(cluster settings.Kafka) Options {
	if o.SessionTimeout == 0 {
		o.SessionTimeout = cluster.SessionTimeout
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&o.CommitInterval, time.Second}, {&o.SessionTimeout, 10 * time.Second}, {&o.CloseTimeout, 10 * time.Second}} {
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

// worker is one member of a consumer group.
type worker struct {
	consumer bus.Consumer
	options  Options
	engine   *bus.Engine
	client   *kgo.Client // not for callbacks, which may be called before it is set
	stop     context.CancelFunc

	committing chan struct{} // holds whoever commits: a commit that is late must not undo one that came after it
	mu         sync.Mutex
	partitions map[int32]*assigned
	failure    error // why the worker ended, when nobody asked it to
}

// assigned is a partition that this worker has.
type assigned struct {
	*bus.Partition
	room      chan struct{} // says that a full partition may have room again
	committed int64
}

func (w *worker) run(ctx context.Context) error {
	var committing sync.WaitGroup
	committing.Go(func() { w.commitRegularly(ctx) })
	for ctx.Err() == nil {
		fetches := w.client.PollFetches(ctx)
		fetches.EachError(w.fetchError)
		fetches.EachPartition(w.deliver)
		w.holdBack(ctx, fetches)
		w.client.AllowRebalance()
	}
	committing.Wait()
	w.giveUp(w.client, w.all(), w.commitAll)
	if err := w.failed(); err != nil {
		return err
	}
	w.leave()
	return w.failed()
}

// leave leaves the group and closes the client, unless no broker answers for too long.
func (w *worker) leave() {
	left := make(chan struct{})
	go func() {
		w.client.CloseAllowingRebalance()
		close(left)
	}()
	timer := time.NewTimer(w.options.CloseTimeout)
	defer timer.Stop()
	select {
	case <-left:
	case <-timer.C:
		w.options.Logger.Warn("the group could not be left in time; others have to wait for the session to end", "group", w.consumer.Group)
	}
}

// fail ends the worker.
func (w *worker) fail(err error) {
	w.mu.Lock()
	if w.failure == nil {
		w.failure = fmt.Errorf("consumer %s: %w", w.consumer.Group, err)
	}
	w.mu.Unlock()
	w.stop()
}

func (w *worker) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure
}

func (w *worker) deliver(fetched kgo.FetchTopicPartition) {
	w.mu.Lock()
	p := w.partitions[fetched.Partition]
	w.mu.Unlock()
	if p == nil || len(fetched.Records) == 0 {
		return
	}
	p.Deliver(fromKgo(fetched.Records))
}

// patience is how long a full partition may hold up the others before it is paused. Most have room again much sooner,
// and to pause costs more than that: the client drops what it has fetched ahead.
const patience = 50 * time.Millisecond

// holdBack waits until none of the partitions that got records is full, and pauses those that stay so.
func (w *worker) holdBack(ctx context.Context, fetches kgo.Fetches) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	fetches.EachPartition(func(fetched kgo.FetchTopicPartition) {
		w.mu.Lock()
		p := w.partitions[fetched.Partition]
		w.mu.Unlock()
		for p != nil && p.Full() {
			select {
			case <-p.room:
			case <-ctx.Done():
				only := map[string][]int32{w.consumer.Topic: {fetched.Partition}}
				w.client.PauseFetchPartitions(only)
				if !p.Full() { // it emptied before the pause, so nobody else will end it
					w.client.ResumeFetchPartitions(only)
				}
				return
			}
		}
	})
}

func (w *worker) fetchError(topic string, partition int32, err error) {
	var session *kgo.ErrGroupSession
	logger := limited(w.options.Logger).With("group", w.consumer.Group)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed):
	case errors.As(err, &session):
		logger.Error("cannot take part in the consumer group; it is joined again", "topic", w.consumer.Topic, "error", session.Err)
	case topic == "" || partition < 0: // no partition of it alone
		logger.Error("cannot read", "topic", w.consumer.Topic, "error", err)
	default:
		logger.Error("cannot read", "topic", topic, "partition", partition, "error", err)
	}
}
