package gateway

import (
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/sipeat/sipeat/shared/settings"
	"golang.org/x/time/rate"
)

// maxBuckets bounds the callers that a limiter remembers, about 300 bytes each.
const maxBuckets = 16384

// bucketKey is a caller: a subject, or an address where no subject is known.
type bucketKey struct {
	subject string
	address netip.Prefix
}

// limiter has a token bucket for each caller.
type limiter struct {
	rate    rate.Limit
	burst   int
	buckets *lru.Cache[bucketKey, *rate.Limiter]
	now     func() time.Time
}

// newLimiter returns nil where there is no limit.
func newLimiter(l settings.Limit, now func() time.Time) *limiter {
	if l.Rate <= 0 {
		return nil
	}
	buckets, _ := lru.New[bucketKey, *rate.Limiter](maxBuckets) // fails for a size below 1 only
	return &limiter{rate: rate.Limit(l.Rate), burst: max(l.Burst, 1), buckets: buckets, now: now}
}

// take takes one token, or returns how long to wait for it.
func (l *limiter) take(caller bucketKey) time.Duration {
	if l == nil {
		return 0
	}
	bucket, ok := l.buckets.Get(caller)
	if !ok {
		bucket = rate.NewLimiter(l.rate, l.burst)
		if earlier, ok, _ := l.buckets.PeekOrAdd(caller, bucket); ok {
			bucket = earlier
		}
	}
	now := l.now()
	if bucket.AllowN(now, 1) {
		return 0
	}
	return max(time.Duration((1-bucket.TokensAt(now))/float64(l.rate)*float64(time.Second)), 1)
}
