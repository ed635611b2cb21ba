package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/web"
	"golang.org/x/time/rate"
)

// maxBuckets bounds the callers that a limiter remembers, about 300 bytes each.
const maxBuckets = 16384

type limiter struct {
	rate    rate.Limit
	burst   int
	buckets *lru.Cache[string, *rate.Limiter]
	now     func() time.Time
}

// newLimiter returns nil where there is no limit.
func newLimiter(l settings.Limit, now func() time.Time) *limiter {
	if l.Rate <= 0 {
		return nil
	}
	buckets, _ := lru.New[string, *rate.Limiter](maxBuckets) // fails for a size below 1 only
	return &limiter{rate: rate.Limit(l.Rate), burst: max(l.Burst, 1), buckets: buckets, now: now}
}

// take takes one token, or returns how long to wait for it.
func (l *limiter) take(caller string) time.Duration {
	if l == nil {
		return 0
	}
	bucket := rate.NewLimiter(l.rate, l.burst)
	if earlier, ok, _ := l.buckets.PeekOrAdd(caller, bucket); ok {
		bucket = earlier
		l.buckets.Get(caller) // used
	}
	now := l.now()
	if bucket.AllowN(now, 1) { // a reservation that is cancelled would not give back all of it to a bucket in concurrent use
		return 0
	}
	return max(time.Duration((1-bucket.TokensAt(now))/float64(l.rate)*float64(time.Second)), 1)
}

func (l *limiter) tooMany(w http.ResponseWriter, r *http.Request, caller string) bool {
	wait := l.take(caller)
	if wait > 0 {
		web.Problem{Status: http.StatusTooManyRequests, Detail: "You have sent too many requests; try again after Retry-After.",
			RetryAfter: wait}.Write(w, r)
	}
	return wait > 0
}

// clientNetwork is the client's address; of an IPv6 client its /64, the least that a site gets (RFC 6177). The client is the
// last hop that is not a trusted proxy, or else the first proxy: the peer, or one that the proxies name in X-Forwarded-For, with
// a port or without. If that cannot be read, it is the peer; on a unix socket all clients are one.
func clientNetwork(r *http.Request, trusted []netip.Prefix) netip.Prefix {
	peer := hop(r.RemoteAddr)
	client := peer
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, before := range slices.Backward(hops) {
		if !slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(client) }) {
			break
		}
		if client = hop(before); !client.IsValid() {
			client = peer
			break
		}
	}
	bits := client.BitLen()
	if client.Is6() {
		bits = 64
	}
	network, _ := client.Prefix(bits) // the zero Prefix of an invalid address
	return network
}

// hop is the address of a hop; Azure's proxies, for one, write its port too.
func hop(text string) netip.Addr {
	text = strings.TrimSpace(text)
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		withPort, _ := netip.ParseAddrPort(text)
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone("")
}
