package bus

import (
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sipeat/sipeat/shared/events"
)

// retryState is what the engine remembers of an event's earlier tries.
type retryState struct {
	tries              int       // runs of the handler
	failures           int       // tries that failed for an unknown reason, those in an outage not counted
	refusedSince       time.Time // first refusal for itself alone
	verdict            error     // why it was rejected; its dead letter is not written yet
	failed             []Attempt // the last [maxLastAttempts] that failed
	deadLetterFailures int
	backoff            *backoff.ExponentialBackOff
}

// maxLastAttempts bounds the attempts that a dead letter lists.
const maxLastAttempts = 8

// Attempt is one run of a handler.
type Attempt struct {
	At   time.Time `json:"at"`
	Took string    `json:"took"` // such as 1.5ms
}

// note keeps a failed try for the dead letter.
func (s *retryState) note(began time.Time) {
	attempt := Attempt{began.Round(0).UTC(), time.Since(began).Round(time.Microsecond).String()}
	s.failed = append(s.failed[max(len(s.failed)-maxLastAttempts+1, 0):], attempt)
}

// delay is how long to wait before the next try: the delay that the error asks for, else an exponential backoff.
func (s *retryState) delay(err error, o *Options) time.Duration {
	if e, ok := errors.AsType[*events.Error](err); ok && e.RetryAfter > 0 {
		return max(e.RetryAfter, o.MinBackoff)
	}
	if s.backoff == nil {
		s.backoff = backoff.NewExponentialBackOff()
		s.backoff.InitialInterval, s.backoff.MaxInterval, s.backoff.Multiplier = o.MinBackoff, o.MaxBackoff, 2
	}
	return min(s.backoff.NextBackOff(), o.MaxBackoff) // jitter may exceed the maximum
}

const (
	// blockingFor is how long an event that is refused for itself alone may hold up later events of its partition: longer than
	// greylisting takes.
	blockingFor = time.Hour
	// provenFor is how long a success counts as proof that there is no outage.
	provenFor = blockingFor / 2
	// maxReturned bounds the returned events whose retry state is kept.
	maxReturned = 1024
)

// expired reports whether to give up an event that is refused for itself alone. blocking means that others wait for it.
func (d *delivery) expired(blocking bool, after time.Duration) bool {
	return time.Since(d.refusedSince) >= min(blockingFor, after) && (blocking || time.Since(d.record.Load().Timestamp) >= after)
}

// breaker distinguishes an event at fault from an outage of unknown kind: it counts the different events that failed since the
// last success.
type breaker struct {
	mu          sync.Mutex
	failing     map[Position]bool // at most limit of them
	limit       int
	stalled     bool
	lastSuccess time.Time
}

// failed counts a failure for an unknown reason. It reports whether it looks like an outage, and whether a stall begins:
// the first event that would be rejected otherwise, because exhausted is true, begins it.
func (b *breaker) failed(at Position, exhausted bool) (outage, stalls bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.failing) < b.limit {
		b.failing[at] = true
	}
	outage = len(b.failing) >= b.limit
	stalls = outage && exhausted && !b.stalled
	b.stalled = b.stalled || stalls
	return outage, stalls
}

// succeeded resets the failures and reports whether that ended a stall. at is when the event was begun.
func (b *breaker) succeeded(at time.Time) (ended bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ended, b.stalled = b.stalled, false
	clear(b.failing)
	b.lastSuccess = at
	return ended
}

// proven reports whether an event has succeeded lately, so that there is no outage.
func (b *breaker) proven() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.lastSuccess) <= provenFor
}
