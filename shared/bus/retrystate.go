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
	deadLetterFailures int
	backoff            *backoff.ExponentialBackOff
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

// blockingFor is how long an event that is refused for itself alone may hold up later events of its partition: longer than
// greylisting takes.
const blockingFor = time.Hour

// expired reports whether to give up an event that is refused for itself alone. blocking means that others wait for it.
func (d *delivery) expired(blocking bool, after time.Duration) bool {
	now := time.Now()
	if now.Sub(d.refusedSince) < min(blockingFor, after) {
		return false
	}
	return blocking || now.Sub(d.record.Timestamp) >= after
}

// attempts keeps the retry state of returned events, so that one that fails slowly uses up its attempts over several
// invocations. It holds at most maxAttempts states; an event whose state is dropped starts over.
type attempts struct {
	mu     sync.Mutex
	failed map[Position]retryState
}

const maxAttempts = 1024

func (a *attempts) keep(d *delivery) {
	if d.failures == 0 && d.refusedSince.IsZero() {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed == nil {
		a.failed = map[Position]retryState{}
	}
	for other := range a.failed { // perhaps another process handled it
		if len(a.failed) < maxAttempts {
			break
		}
		delete(a.failed, other)
	}
	a.failed[d.position()] = retryState{tries: d.tries, failures: d.failures, refusedSince: d.refusedSince}
}

func (a *attempts) restore(deliveries []delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := 0; i < len(deliveries) && len(a.failed) > 0; i++ {
		at := deliveries[i].position()
		if s, ok := a.failed[at]; ok {
			deliveries[i].retryState = s
			delete(a.failed, at)
		}
	}
}
