package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// RunClaims tests delivery claims, as [Run] tests read models. Handles take the time from clock.
func RunClaims(t *testing.T, data func(t *testing.T, clock func() time.Time) (open func() store.Claims)) {
	for _, g := range claims {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			b := &claimsBench{T: t, clock: &clock{}}
			b.open = data(t, b.clock.Now)
			b.Claims = b.handle()
			g.test(b)
		})
	}
}

type claimsBench struct {
	*testing.T
	store.Claims
	clock *clock
	open  func() store.Claims
}

// handle opens the same data again.
func (b *claimsBench) handle() store.Claims {
	c := b.open()
	b.Cleanup(func() { assert.NoError(b, c.Close()) })
	return c
}

// clock shows noon at first.
type clock struct{ passed atomic.Int64 }

func (c *clock) Now() time.Time          { return noon.Add(time.Duration(c.passed.Load())) }
func (c *clock) advance(d time.Duration) { c.passed.Add(int64(d)) }

const lease = 10 * time.Second

func (b *claimsBench) claim(c store.Claims, id string) store.Claim {
	b.Helper()
	claim, left, err := c.Claim(b.Context(), id, "smtp", lease)
	require.NoError(b, err)
	assert.Equal(b, claim == store.Held, left > 0, "only a held claim has time left")
	assert.LessOrEqual(b, left, lease)
	return claim
}

func (b *claimsBench) deliveries(ids ...string) map[string][]store.Delivery {
	b.Helper()
	found, err := b.Deliveries(b.Context(), ids...)
	require.NoError(b, err)
	return found
}

// claimCalls are all methods that take a context, each of which would change something if it could.
func claimCalls(c store.Claims) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Claim":      func(ctx context.Context) error { _, _, err := c.Claim(ctx, "claim", "smtp", lease); return err },
		"Complete":   func(ctx context.Context) error { return c.Complete(ctx, "complete", "smtp") },
		"Fail":       func(ctx context.Context) error { return c.Fail(ctx, "held", "smtp", "refused") },
		"Release":    func(ctx context.Context) error { return c.Release(ctx, "held", "smtp") },
		"Deliveries": func(ctx context.Context) error { _, err := c.Deliveries(ctx, "held"); return err },
		"Ping":       c.Ping,
	}
}

var claims = []struct {
	name string
	test func(*claimsBench)
}{
	{"a claim is held until its lease ends, in every handle", func(b *claimsBench) {
		other := b.handle()
		assert.Equal(b, store.Claimed, b.claim(b, "mail\x00ü"))
		assert.Equal(b, store.Held, b.claim(b, "mail\x00ü"))
		assert.Equal(b, store.Claimed, b.claim(other, "mail"))
		require.NoError(b, b.Close())
		b.clock.advance(lease / 4)
		claim, left, err := other.Claim(b.Context(), "mail\x00ü", "smtp", 9*lease)
		require.NoError(b, err)
		assert.Equal(b, store.Held, claim)
		assert.Equal(b, lease*3/4, left)
		b.clock.advance(left - time.Millisecond)
		assert.Equal(b, store.Held, b.claim(other, "mail\x00ü"))
		b.clock.advance(time.Millisecond)
		assert.Equal(b, store.Claimed, b.claim(other, "mail\x00ü"))
	}},
	{"a completed effect stays done, no matter which handle holds the claim", func(b *claimsBench) {
		other := b.handle()
		b.claim(b, "mail")
		b.clock.advance(lease)
		b.claim(other, "mail")
		for _, id := range []string{"mail", "mail", "never claimed"} {
			require.NoError(b, b.Complete(b.Context(), id, "smtp"))
			require.NoError(b, other.Release(b.Context(), id, "smtp"))
			require.NoError(b, b.Fail(b.Context(), id, "smtp", "refused"))
		}
		b.clock.advance(1000 * time.Hour)
		assert.Equal(b, store.Done, b.claim(other, "mail"))
		assert.Equal(b, store.Done, b.claim(b.handle(), "never claimed"))
	}},
	{"a lease set by a badly skewed clock is ignored", func(b *claimsBench) {
		other := b.handle()
		b.clock.advance(1000 * time.Hour)
		assert.Equal(b, store.Claimed, b.claim(b, "mail"))
		b.clock.advance(-1000 * time.Hour)
		assert.Equal(b, store.Claimed, b.claim(other, "mail"))
		assert.Equal(b, store.Held, b.claim(b, "mail"))

		b.clock.advance(50 * time.Minute) // by which the clocks of several machines may differ
		assert.Equal(b, store.Claimed, b.claim(b, "other mail"))
		b.clock.advance(-50 * time.Minute)
		c, left, err := other.Claim(b.Context(), "other mail", "smtp", lease)
		require.NoError(b, err)
		assert.Equal(b, store.Held, c)
		assert.Equal(b, 50*time.Minute+lease, left)
	}},
	{"only the handle that holds a claim releases it or lets it fail, and then it can be claimed at once", func(b *claimsBench) {
		other := b.handle()
		end := map[string]func(c store.Claims, id string) error{
			"released": func(c store.Claims, id string) error { return c.Release(b.Context(), id, "smtp") },
			"failed":   func(c store.Claims, id string) error { return c.Fail(b.Context(), id, "smtp", "refused") },
		}
		for id, end := range end {
			require.NoError(b, end(b, id), "never claimed")
			assert.Equal(b, store.Claimed, b.claim(b, id))
			b.clock.advance(lease)
			assert.Equal(b, store.Claimed, b.claim(other, id))
			require.NoError(b, end(b, id))
			assert.Equal(b, store.Held, b.claim(b, id))
			assert.Equal(b, []store.Delivery{{Channel: "smtp", State: store.Pending}}, b.deliveries(id)[id])
			require.NoError(b, end(other, id))
			require.NoError(b, end(other, id))
			assert.Equal(b, store.Claimed, b.claim(b, id))
		}
	}},
	{"of many concurrent calls one gets the claim", func(b *claimsBench) {
		handles := []store.Claims{b.Claims, b.handle()}
		var won atomic.Int32
		succeed(b, 64, func(n int) error {
			c, _, err := handles[n%2].Claim(b.Context(), "mail", "smtp", lease)
			if err == nil && c == store.Claimed {
				won.Add(1)
			}
			return err
		})
		assert.EqualValues(b, 1, won.Load())
	}},
	{"deliveries say what became of each channel", func(b *claimsBench) {
		b.claim(b, "sent")
		b.claim(b, "refused")
		b.claim(b, "again")
		b.claim(b, "released")
		b.clock.advance(time.Second)
		require.NoError(b, b.Complete(b.Context(), "sent", "smtp"))
		require.NoError(b, b.Complete(b.Context(), "sent", "discord"))
		_, _, err := b.Claims.Claim(b.Context(), "sent", "", lease)
		require.NoError(b, err)
		require.NoError(b, b.Fail(b.Context(), "refused", "smtp", "invalid"))
		require.NoError(b, b.Fail(b.Context(), "again", "smtp", "invalid"))
		b.claim(b, "again")
		require.NoError(b, b.Release(b.Context(), "released", "smtp"))
		at := noon.Add(time.Second)
		assert.Equal(b, map[string][]store.Delivery{
			"sent": {{State: store.Pending}, {Channel: "discord", State: store.Delivered, At: at}, {Channel: "smtp",
				State: store.Delivered, At: at}},
			"refused":  {{Channel: "smtp", State: store.Failed, At: at, Class: "invalid"}},
			"again":    {{Channel: "smtp", State: store.Pending}},
			"released": {{Channel: "smtp", State: store.Pending}},
		}, b.deliveries("sent", "refused", "again", "released", "unknown", "sent"))
		assert.Empty(b, b.deliveries())
	}},
	{"deliveries of a full page are read at once", func(b *claimsBench) {
		all := make([]string, store.MaxLimit)
		for n := range all {
			all[n] = strings.Repeat("i", store.MaxID-3) + fmt.Sprintf("%03d", n)
		}
		succeed(b, len(all), func(n int) error { return b.Complete(b.Context(), all[n], "smtp") })
		assert.Len(b, b.deliveries(all...), store.MaxLimit)
		_, err := b.Deliveries(b.Context(), append(all, "one more")...)
		isKind(b, events.Invalid, err)
	}},
	{"a claim needs an id, a short channel and a lease", func(b *claimsBench) {
		check := func(id, channel string) {
			_, _, err := b.Claims.Claim(b.Context(), id, channel, lease)
			isKind(b, events.Invalid, err)
			isKind(b, events.Invalid, b.Complete(b.Context(), id, channel))
			isKind(b, events.Invalid, b.Fail(b.Context(), id, channel, "refused"))
			isKind(b, events.Invalid, b.Release(b.Context(), id, channel))
		}
		for _, id := range []string{"", strings.Repeat("x", store.MaxID+1), "\xff"} {
			check(id, "smtp")
		}
		check("mail", strings.Repeat("x", 65))
		for _, d := range []time.Duration{-time.Second, 0, time.Microsecond} {
			_, _, err := b.Claims.Claim(b.Context(), "mail", "smtp", d)
			isKind(b, events.Invalid, err)
		}
		assert.Equal(b, store.Claimed, b.claim(b, "mail"))
	}},
	{"a context that has ended makes every call unavailable, and changes nothing", func(b *claimsBench) {
		b.claim(b, "held")
		unavailable(b.T, claimCalls(b))
		assert.Equal(b, store.Claimed, b.claim(b, "claim"))
		assert.Equal(b, store.Claimed, b.claim(b, "complete"))
		assert.Equal(b, store.Held, b.claim(b, "held"))
	}},
	{"closed claims are unavailable, and closing them again does nothing", func(b *claimsBench) {
		require.NoError(b, b.Ping(b.Context()))
		closed(b.T, b.Claims, claimCalls(b))
	}},
}
