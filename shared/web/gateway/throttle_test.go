package gateway

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/settings"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestThrottle(t *testing.T) {
	c, i := newClock(), newTestIssuer(t, "p256")
	s := i.settings()
	s.Public, s.Staff = settings.Limit{Rate: 0.5, Burst: 3}, settings.Limit{Rate: 2, Burst: 5}
	h := newRouter(s, c)
	from := func(ip string) int { return call(h, "POST", "/contacts", "RemoteAddr: "+ip+":1234").Code }
	for range 3 {
		require.Equal(t, 202, from("192.0.2.1"))
	}
	w := call(h, "POST", "/contacts", "RemoteAddr: 192.0.2.1:99")
	problem(t, 429, w)
	assert.Equal(t, "2", w.Header().Get("Retry-After"))
	assert.Equal(t, 202, from("192.0.2.2"), "others are not held up")
	c.move(time.Second)
	w = call(h, "POST", "/contacts", "RemoteAddr: 192.0.2.1:99", "X-Forwarded-For: 198.51.100.9")
	problem(t, 429, w) // the peer is not a trusted proxy
	assert.Equal(t, "1", w.Header().Get("Retry-After"))
	c.move(time.Second)
	assert.Equal(t, 202, from("192.0.2.1"))
	assert.Equal(t, 429, from("192.0.2.1"))
	c.move(time.Hour)
	for range 3 {
		assert.Equal(t, 202, from("192.0.2.1"), "never more than the burst")
	}
	assert.Equal(t, 429, from("192.0.2.1"))

	for _, target := range []string{"/healthz", "/readyz"} {
		for range 10 {
			assert.Equal(t, 200, call(h, "GET", target, "RemoteAddr: 192.0.2.1:1").Code, "health checks are never held up")
		}
	}

	// staff by subject, wherever from
	one := sign("ES256", "p256", i.claimsAt(c.now(), nil))
	two := sign("ES256", "p256", i.claimsAt(c.now(), map[string]any{"sub": "user-2"}))
	for n := range 5 {
		assert.Equal(t, 200, call(h, "GET", "/contacts", "Authorization: Bearer "+one, fmt.Sprintf("RemoteAddr: 192.0.2.%d:1", n)).Code)
	}
	w = staff(h, one)
	problem(t, 429, w)
	assert.Equal(t, "1", w.Header().Get("Retry-After"))
	assert.Equal(t, 200, staff(h, two).Code)

	// refusals are limited by address; a valid token still passes
	for range 5 {
		assert.Equal(t, 401, staff(h, "garbage").Code)
	}
	w = staff(h, "garbage")
	problem(t, 429, w)
	assert.Empty(t, w.Header().Get("WWW-Authenticate"))
	assert.Equal(t, 200, staff(h, two).Code)
	assert.Equal(t, 401, call(h, "GET", "/contacts", "RemoteAddr: 192.0.2.77:1").Code)

	s.Public.Rate, s.Staff.Rate = 0, 0 // off
	h = newRouter(s, c)
	for range 50 {
		require.Equal(t, 202, from("192.0.2.1"))
		require.Equal(t, 401, staff(h, "garbage").Code)
		require.Equal(t, 200, staff(h, one).Code)
	}
}

func TestClientAddress(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")}
	for _, at := range []struct {
		peer      string
		trusted   []netip.Prefix
		forwarded []string
		is        string
	}{
		{"192.0.2.1:80", nil, []string{"198.51.100.1"}, "192.0.2.1/32"},
		{"[2001:db8:1:2:3:4:5:6]:80", nil, nil, "2001:db8:1:2::/64"},
		{"[2001:db8:1:2::7]:80", nil, nil, "2001:db8:1:2::/64"},
		{"[::ffff:192.0.2.1]:80", nil, nil, "192.0.2.1/32"},
		{"[fe80::1%eth0]:80", nil, nil, "fe80::/64"},
		{"@", nil, nil, "invalid Prefix"},
		{"", nil, nil, "invalid Prefix"},
		{"192.0.2.1:80", proxies, []string{"198.51.100.1"}, "192.0.2.1/32"},
		{"10.1.1.1:80", proxies, nil, "10.1.1.1/32"},
		{"10.1.1.1:80", proxies, []string{"198.51.100.1"}, "198.51.100.1/32"},
		{"[::ffff:10.1.1.1]:80", proxies, []string{"198.51.100.1"}, "198.51.100.1/32"},
		{"10.1.1.1:80", proxies, []string{"1.1.1.1, 198.51.100.1, 10.2.2.2"}, "198.51.100.1/32"},
		{"10.1.1.1:80", proxies, []string{"1.1.1.1", "198.51.100.1", "10.2.2.2,2001:db8::1"}, "198.51.100.1/32"},
		{"[2001:db8::1]:80", proxies, []string{"2001:db8:9::1"}, "2001:db8:9::/64"},
		{"10.1.1.1:80", proxies, []string{"198.51.100.1:4711"}, "198.51.100.1/32"},
		{"10.1.1.1:80", proxies, []string{"198.51.100.1, garbage, 10.2.2.2"}, "10.1.1.1/32"},
		{"10.1.1.1:80", proxies, []string{""}, "10.1.1.1/32"},
		{"10.1.1.1:80", proxies, []string{","}, "10.1.1.1/32"},
		{"10.1.1.1:80", proxies, []string{"10.3.3.3,10.2.2.2"}, "10.3.3.3/32"},
	} {
		r := &http.Request{RemoteAddr: at.peer, Header: http.Header{"X-Forwarded-For": at.forwarded}}
		assert.Equal(t, at.is, clientNetwork(r, at.trusted).String(), "%v", at)
	}
}

// A flood from one address leaves no debt behind.
func TestFloodFromOneAddress(t *testing.T) {
	c := newClock()
	l := newLimiter(settings.Limit{Rate: 1, Burst: 1}, c.now)
	require.Zero(t, l.take("a"))
	var flood sync.WaitGroup
	for range 8 {
		flood.Go(func() {
			for range 20_000 {
				l.take("a")
			}
		})
	}
	flood.Wait()
	c.move(time.Second)
	assert.Zero(t, l.take("a"))
}

// A flood from everywhere costs bounded memory.
func TestLimiterMemory(t *testing.T) {
	c := newClock()
	l := newLimiter(settings.Limit{Rate: 1, Burst: 2}, c.now)
	for n := range 2 * maxBuckets {
		require.Zero(t, l.take(strconv.Itoa(n)))
	}
	assert.Equal(t, maxBuckets, l.buckets.Len())
	last := strconv.Itoa(2*maxBuckets - 1)
	assert.Zero(t, l.take(last))
	assert.Equal(t, time.Second, l.take(last))
	c.move(-time.Hour) // setting the clock back changes nothing
	assert.InDelta(t, time.Second, l.take(last), 1000)
	assert.Zero(t, l.take("0"), "the oldest has made room")
	assert.Nil(t, newLimiter(settings.Limit{}, c.now))
}
