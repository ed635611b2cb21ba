package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Options of a [Member].
type Options struct {
	Delivery    bus.Options
	DeadLetters bus.DeadLetters // where rejected events go
	// StopTimeout is how long giving up partitions may take, at a rebalance or at the end, half of it for running handlers.
	// The default is 8 s: Docker kills after 10 s.
	StopTimeout time.Duration
	Logger      *slog.Logger // the default one
	// Assigned, if set, is called with the partitions that this member has, each time it joins the group or loses some.
	Assigned func(topic string, partitions []int32)
	// Advance, if set, is called when partitions are assigned, with the offsets at which they begin as to and, if these were
	// committed, as from, and before each commit, with what it adds to that. Offsets are committed once it has returned nil.
	Advance Advance
}

// Member delivers the events of a topic to a consumer, as a member of the consumer's group.
type Member struct {
	Options
	cluster      settings.Kafka
	topic, group string
	engine       *bus.Engine
	outage       *outage
	warned       sync.Map        // *rate.Sometimes by message
	failure      context.Context // done when the member ends by itself; its cause says why
	fail         context.CancelCauseFunc
	committing   sync.Mutex // a late commit must not undo one that came after it
	sending      sync.Mutex // of a commit; partitions are not lost meanwhile, so it goes out before the member joins again
	everJoined   atomic.Bool
	fenced       atomic.Bool // its partitions may be another member's; they are about to be given up

	unknownFirst, unknownLast time.Time // errors that report the topic as nonexistent

	mu           sync.Mutex
	client       *kgo.Client
	joined       bool // now
	partitions   map[int32]*partition
	unreadable   map[int32]Unreadable
	lost         []Loss
	cancelCommit context.CancelFunc // of the latest commit
}

type partition struct {
	*bus.Partition
	start     int64 // where its delivery began
	next      int64 // the offset behind the last record that was delivered
	epoch     int32 // the leader epoch of that record; -1 = unknown
	end       int64 // of the log, as the last fetch that returned records had it
	listed    int64 // where the log ended when the partition was assigned
	committed int64 // -1 = nothing
	advanced  int64 // up to where Advance was called
}

// done is the offset behind what is handled, and the leader epoch of the record before it; -1 = unknown.
func (p *partition) done() (offset int64, epoch int32) {
	if offset, epoch, ok := p.Handled(); ok {
		return offset, epoch
	}
	return p.start, -1
}

// NewMember makes a member, which [Member.Run] then runs.
func NewMember(cluster settings.Kafka, c bus.Consumer, o Options) *Member {
	o.StopTimeout = cmp.Or(o.StopTimeout, 8*time.Second)
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.Assigned == nil {
		o.Assigned = func(string, []int32) {}
	}
	if o.Advance == nil {
		o.Advance = func(context.Context, string, map[int32]int64, map[int32]int64) error { return nil }
	}
	m := &Member{Options: o, cluster: cluster, topic: c.Topic, group: c.Group, outage: newOutage(cluster.Brokers, o.Logger),
		partitions: map[int32]*partition{}, unreadable: map[int32]Unreadable{}}
	m.failure, m.fail = context.WithCancelCause(context.Background())
	o.Delivery.Logger, o.Delivery.Overrun = o.Logger, m.fail
	m.engine = bus.NewEngine(c, o.DeadLetters, o.Delivery)
	return m
}

// set calls change with the lock held.
func (m *Member) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// lastRequest is what a broker that answers needs at least, when the time is over.
const lastRequest = 500 * time.Millisecond

// Run delivers events until ctx is done or an error occurs that no retry cures. It is to be called once. A new group begins at
// the topic's earliest record; one with committed offsets resumes there, whichever program committed them. A topic that was
// deleted and created again is read from its earliest record; what was fetched of the one before and not handled is a [Loss].
//
// When ctx is done, Run finishes or abandons the work in progress, commits what is handled, leaves the group, so that the
// other members get its partitions immediately, and returns nil.
//
// If a handler ignores its deadline, Run returns an error and stays in the group: the process must end, so that no other
// member works on that handler's key while it runs.
func (m *Member) Run(ctx context.Context) error {
	client, err := NewClient(m.cluster, m.Logger, m.clientOptions()...)
	if err != nil {
		return err
	}
	m.set(func() { m.client = client })
	client.AddConsumeTopics(m.topic) // only now: callbacks use m.client
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(m.failure, stop)
	var committing sync.WaitGroup
	committing.Go(func() {
		for pause(ctx, commitInterval) {
			m.commit(ctx)
		}
	})
	for ctx.Err() == nil {
		m.poll(ctx)
	}
	end := time.Now().Add(m.StopTimeout)
	committing.Wait()
	m.giveUp(m.all(), m.StopTimeout)
	if err := context.Cause(m.failure); err != nil {
		return fmt.Errorf("consumer %s: %w", m.group, err)
	}
	m.leave(max(time.Until(end), lastRequest))
	return nil
}

func (m *Member) clientOptions() []kgo.Opt {
	session := cmp.Or(m.cluster.SessionTimeout, 10*time.Second)
	options := []kgo.Opt{
		kgo.ConsumerGroup(m.group),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // see outOfRange
		kgo.DisableAutoCommit(),
		kgo.Balancers(fencing{kgo.CooperativeStickyBalancer(), m}),
		kgo.BlockRebalanceOnPoll(), // a partition is not revoked while its records are being delivered
		kgo.SessionTimeout(session),
		kgo.HeartbeatInterval(session / 4),
		kgo.RebalanceTimeout(m.StopTimeout + session),
		// By default 5 minutes; publishers write to partitions that were added long before that.
		kgo.MetadataMaxAge(5 * time.Second),
		kgo.FetchMaxBytes(8 << 20),
		kgo.KeepControlRecords(),       // the log may end with one
		kgo.KeepRetryableFetchErrors(), // of these the client would report an unknown topic too late
		kgo.OnPartitionsAssigned(m.onAssigned),
		kgo.AdjustFetchOffsetsFn(m.begin),
		kgo.OnPartitionsRevoked(m.onRevoked),
		kgo.OnPartitionsLost(m.onLost),
	}
	if m.cluster.InstanceID != "" {
		options = append(options, kgo.InstanceID(m.cluster.InstanceID))
	}
	if m.cluster.ServerSide {
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	return options
}

var errFenced = errors.New("the group went on without this member, which was joining again")

// fencing is a balancer that notices when brokers do not know a member any more that joins again. The client then joins as
// another member and keeps its partitions at its own positions, although others may have handled and committed more meanwhile
// (kgo 1.22.3, handleJoinResp: UnknownMemberID). An error of the join makes it give them up instead.
type fencing struct {
	kgo.GroupBalancer
	m *Member
}

// JoinGroupMetadata is called for each attempt to join; meanwhile commits wait. Once the member is fenced, nothing is committed
// until the client has given up its partitions, too: neither what is handled meanwhile nor by a commit that waits for the join.
func (f fencing) JoinGroupMetadata(topics []string, current map[string][]int32, generation int32) []byte {
	if id, _ := f.m.client.GroupMetadata(); id == "" && len(current) > 0 {
		f.m.fenced.Store(true)
		f.m.set(func() {
			if f.m.cancelCommit != nil {
				f.m.cancelCommit()
			}
		})
		f.m.giveUp(f.m.all(), 0)
	}
	return f.GroupBalancer.JoinGroupMetadata(topics, current, generation)
}

func (f fencing) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	if f.m.fenced.Load() {
		return nil, errFenced
	}
	return f.GroupBalancer.ParseSyncAssignment(assignment)
}

// leave leaves the group and closes the client, unless no broker answers in time.
func (m *Member) leave(timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := m.client.LeaveGroupContext(ctx); err != nil {
		m.Logger.Warn("the group could not be left; its partitions stay assigned until the session expires", "group", m.group,
			"error", err)
		go m.client.Close() // waits for the brokers, too
		return
	}
	m.client.Close()
}

// onAssigned is called with each join, even without any partition.
func (m *Member) onAssigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	m.everJoined.Store(true)
	m.set(func() {
		m.joined = true
		// What still cannot be read shows again at the next fetch. While the topic is missing none of its partitions is assigned.
		maps.DeleteFunc(m.unreadable, func(n int32, _ Unreadable) bool { return n >= 0 || len(added[m.topic]) > 0 })
	})
	// failpoint: assigned m, added[m.topic]
	for _, n := range added[m.topic] {
		m.open(n, 0, 0, 0)
	}
	m.Assigned(m.topic, m.all())
}

func (m *Member) onRevoked(_ context.Context, _ *kgo.Client, removed map[string][]int32) {
	m.giveUp(removed[m.topic], m.StopTimeout)
	// failpoint: revoked m, removed[m.topic]
	if m.failure.Err() != nil {
		select {} // a handler is still running: the process ends before another member gets its key
	}
	m.Assigned(m.topic, m.all())
}

// onLost is called for a rebalance that went on without this member: other members may have the partitions already, and
// their offsets. It is called for each join that fails, too.
func (m *Member) onLost(_ context.Context, _ *kgo.Client, removed map[string][]int32) {
	m.set(func() { m.joined = false })
	if numbers := removed[m.topic]; len(numbers) > 0 {
		m.giveUp(numbers, 0)
		// failpoint: revoked m, numbers
		m.Assigned(m.topic, m.all())
	}
	m.fenced.Store(false)
}

func (m *Member) open(n int32, start, committed, advanced int64) {
	p := &partition{start: start, next: start, epoch: -1, committed: committed, advanced: advanced}
	p.Partition = m.engine.Open(context.Background(), n, time.Time{}, func() { m.client.ResumeFetchPartitions(m.only(n)) })
	m.set(func() { m.partitions[n] = p })
	m.client.ResumeFetchPartitions(m.only(n)) // it may have been revoked or truncated while it was paused
}

// giveUp ends the delivery of partitions and commits what is handled, within timeout, half of which is for the handlers. A
// timeout of 0 means that the partitions are lost: nothing is committed. Without partitions, as at most rebalances, it does not
// wait for a commit either.
func (m *Member) giveUp(numbers []int32, timeout time.Duration) {
	if len(numbers) == 0 {
		return
	}
	end := time.Now().Add(timeout)
	handlers := timeout / 2
	if m.failure.Err() != nil {
		handlers = 0
	}
	if timeout == 0 {
		m.sending.Lock()
		defer m.sending.Unlock()
	}
	given := map[int32]*partition{}
	var closing sync.WaitGroup
	for _, n := range numbers {
		if p := m.partition(n); p != nil {
			given[n] = p
			closing.Go(func() { m.closePartition(p, handlers) })
		}
	}
	closing.Wait()
	if timeout > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), max(time.Until(end), lastRequest))
		defer cancel()
		for !m.commit(ctx) && pause(ctx, 100*time.Millisecond) { // while a group rebalances, brokers take no commit
		}
	}
	m.set(func() {
		for n, p := range given {
			if m.partitions[n] == p { // it may have been assigned again meanwhile
				delete(m.partitions, n)
			}
		}
	})
}

func (m *Member) closePartition(p *partition, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := p.Close(ctx); err != nil {
		m.Logger.Warn("abandoned work in progress; it will be done again", "group", m.group, "error", err)
	}
}

func (m *Member) partition(n int32) *partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.partitions[n]
}

func (m *Member) all() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	numbers := slices.AppendSeq([]int32{}, maps.Keys(m.partitions)) // not nil: JSON shows an empty list
	slices.Sort(numbers)
	return numbers
}

func (m *Member) only(n int32) map[string][]int32 { return map[string][]int32{m.topic: {n}} }

// groupError handles an error that ended the membership, or prevented it. The client tries to join again without end.
func (m *Member) groupError(err error) {
	switch {
	case errors.Is(err, kerr.FencedInstanceID):
		m.fail(fmt.Errorf("another worker has joined with the same KAFKA_INSTANCE_ID: give each worker its own: %w", err))
	case errors.Is(err, kerr.InvalidSessionTimeout):
		m.fail(fmt.Errorf("the brokers refuse KAFKA_SESSION_TIMEOUT=%s: set it between their group.min.session.timeout.ms"+
			" (6s by default) and group.max.session.timeout.ms (30m), or change those: %w", m.cluster.SessionTimeout, err))
	case errors.Is(err, kerr.InconsistentGroupProtocol):
		m.warn("the group has members of another program, which cannot share its partitions; waiting until they stop")
	case errors.Is(err, kerr.GroupAuthorizationFailed) && !m.everJoined.Load(): // a right that was lost may come back
		m.fail(denied(m.cluster, "Read", "group", m.group))
	default:
		m.warn("cannot take part in the consumer group; retrying", "error", err)
	}
}
