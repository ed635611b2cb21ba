package gateway

import (
	"net/netip"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
)

// maxBuckets bounds the callers remembered by a limiter, about 300 bytes each.
const maxBuckets = 16384

// bucketKey is a caller: a subject, or an address where none is known.
type bucketKey struct {
	subject string
	address netip.Prefix
}

// bucket holds what its caller may still send at once.
type bucket struct {
	tokens float64
	at     time.Time // zero = it is new, and full
}

// limiter has a token bucket for each caller.
type limiter struct {
	rate, burst float64
	fill        time.Duration // after so long a bucket is full, and as good as none
	buckets     *lru[bucketKey, bucket]
	now         func() time.Time
}

func newLimiter(l settings.Limit, now func() time.Time) *limiter {
	if l.Rate <= 0 {
		return nil
	}
	burst := float64(max(l.Burst, 1))
	return &limiter{rate: l.Rate, burst: burst, fill: seconds(burst / l.Rate), buckets: newLRU[bucketKey, bucket](maxBuckets), now: now}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// take takes one token, or says how long to wait for it.
func (l *limiter) take(caller bucketKey) time.Duration {
	now := l.now()
	l.buckets.mu.Lock()
	defer l.buckets.mu.Unlock()
	for range 2 { // more go than come, so the map shrinks after a flood
		if e, idle := l.buckets.oldest(); e != nil && now.Sub(idle.at) >= l.fill {
			l.buckets.drop(e)
		}
	}
	b := l.buckets.slot(caller)
	if b.at.IsZero() {
		b.tokens = l.burst
	} else if gone := now.Sub(b.at); gone > 0 {
		b.tokens = min(l.burst, b.tokens+gone.Seconds()*l.rate)
	}
	b.at = now
	if b.tokens < 1 {
		return max(seconds((1-b.tokens)/l.rate), 1)
	}
	b.tokens--
	return 0
}
