package store_test

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

func TestClaims(t *testing.T) {
	t.Parallel()
	for name, implementation := range implementations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "dynamodb" {
				local(t)
			}
			for _, g := range claims {
				t.Run(g.name, func(t *testing.T) {
					t.Parallel()
					b := &claimsBench{T: t, clock: &clock{}}
					b.opener = implementation.claims(t, b.clock.Now)
					b.Claims = b.handle(t)
					g.test(b)
				})
			}
		})
	}
}

type claimsBench struct {
	*testing.T
	store.Claims
	opener[store.Claims]
	clock *clock
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

var claims = []struct {
	name string
	test func(*claimsBench)
}{
	{"a claim is held until its lease ends, in every handle", func(b *claimsBench) {
		other := b.handle(b.T)
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
		other := b.handle(b.T)
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
		assert.Equal(b, store.Done, b.claim(b.handle(b.T), "never claimed"))
	}},
	{"a lease set by a badly skewed clock is ignored", func(b *claimsBench) {
		other := b.handle(b.T)
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
		other := b.handle(b.T)
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
		handles := []store.Claims{b.Claims, b.handle(b.T)}
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
		at := events.At(noon.Add(time.Second))
		assert.Equal(b, map[string][]store.Delivery{
			"sent": {{State: store.Pending}, {Channel: "discord", State: store.Delivered, At: at}, {Channel: "smtp",
				State: store.Delivered, At: at}},
			"refused":  {{Channel: "smtp", State: store.Failed, At: at, Class: "invalid"}},
			"again":    {{Channel: "smtp", State: store.Pending}},
			"released": {{Channel: "smtp", State: store.Pending}},
		}, b.deliveries("sent", "refused", "again", "released", "unknown"))
		assert.Empty(b, b.deliveries())
	}},
	{"deliveries of a full page are read at once", func(b *claimsBench) {
		all := make([]string, store.MaxLimit)
		for n := range all {
			all[n] = strings.Repeat("i", store.MaxID-3) + fmt.Sprintf("%03d", n)
		}
		succeed(b, len(all), func(n int) error { return b.Complete(b.Context(), all[n], "smtp") })
		assert.Len(b, b.deliveries(all...), store.MaxLimit)
	}},
	{"a claim needs an id", func(b *claimsBench) {
		for _, id := range []string{"", strings.Repeat("x", store.MaxID+1), "\xff"} {
			_, _, err := b.Claims.Claim(b.Context(), id, "smtp", lease)
			isKind(b, events.Invalid, err)
		}
	}},
	{"a context that has ended makes every call unavailable, and changes nothing", func(b *claimsBench) {
		b.claim(b, "held")
		ended(b.T, map[string]func(context.Context) error{
			"Claim":      func(ctx context.Context) error { _, _, err := b.Claims.Claim(ctx, "claim", "smtp", lease); return err },
			"Complete":   func(ctx context.Context) error { return b.Complete(ctx, "complete", "smtp") },
			"Fail":       func(ctx context.Context) error { return b.Fail(ctx, "held", "smtp", "refused") },
			"Release":    func(ctx context.Context) error { return b.Release(ctx, "held", "smtp") },
			"Deliveries": func(ctx context.Context) error { _, err := b.Deliveries(ctx, "held"); return err },
			"Ping":       b.Ping,
		})
		assert.Equal(b, store.Claimed, b.claim(b, "claim"))
		assert.Equal(b, store.Claimed, b.claim(b, "complete"))
		assert.Equal(b, store.Held, b.claim(b, "held"))
		require.NoError(b, b.Ping(b.Context()))
	}},
}
