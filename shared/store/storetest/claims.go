package storetest

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

const lease = 10 * time.Second

func (b *bench) claim(s store.Store, id string) store.Claim {
	b.Helper()
	c, left, err := s.Claim(b.Context(), id, lease)
	require.NoError(b, err)
	assert.Equal(b, c == store.Held, left > 0, "only what is held has time left")
	assert.LessOrEqual(b, left, lease)
	return c
}

var claims = []promise{
	{"a claim is held until its lease ends, by whomever it is asked for", func(b *bench) {
		other := b.handle()
		assert.Equal(b, store.Claimed, b.claim(b, "mail\x00ü"))
		assert.Equal(b, store.Held, b.claim(b, "mail\x00ü"))
		assert.Equal(b, store.Held, b.claim(other, "mail\x00ü"))
		assert.Equal(b, store.Claimed, b.claim(other, "mail"))
		b.clock.advance(lease - time.Millisecond)
		assert.Equal(b, store.Held, b.claim(other, "mail\x00ü"))
		b.clock.advance(time.Millisecond)
		assert.Equal(b, store.Claimed, b.claim(other, "mail\x00ü"))
		assert.Equal(b, store.Held, b.claim(b, "mail\x00ü"))
	}},
	{"of what is held it is told for how long still", func(b *bench) {
		other := b.handle()
		b.claim(b, "mail")
		for _, passed := range []time.Duration{0, lease / 4, time.Millisecond / 2, lease / 2} {
			b.clock.advance(passed)
			c, left, err := other.Claim(b.Context(), "mail", 9*lease)
			require.NoError(b, err)
			require.Equal(b, store.Held, c)
			assert.InDelta(b, noon.Add(lease).Sub(b.clock.Now()), left, float64(time.Millisecond), "of the lease that runs, not of the one asked for")
		}
		_, left, err := other.Claim(b.Context(), "mail", lease)
		require.NoError(b, err)
		b.clock.advance(left - time.Millisecond)
		assert.Equal(b, store.Held, b.claim(other, "mail"))
		b.clock.advance(time.Millisecond)
		assert.Equal(b, store.Claimed, b.claim(other, "mail"), "not a moment longer than was said")
	}},
	{"what is complete is done for ever", func(b *bench) {
		b.claim(b, "mail")
		require.NoError(b, b.Complete(b.Context(), "mail"))
		require.NoError(b, b.Complete(b.Context(), "mail"))
		require.NoError(b, b.Release(b.Context(), "mail"))
		b.clock.advance(1000 * time.Hour)
		assert.Equal(b, store.Done, b.claim(b, "mail"))
		require.NoError(b, b.Close())
		assert.Equal(b, store.Done, b.claim(b.handle(), "mail"))
	}},
	{"what has happened is complete, whoever holds the claim", func(b *bench) {
		other := b.handle()
		b.claim(b, "late")
		b.clock.advance(lease)
		b.claim(other, "late")
		require.NoError(b, b.Complete(b.Context(), "late"))
		require.NoError(b, b.Complete(b.Context(), "never claimed"))
		require.NoError(b, other.Release(b.Context(), "late"))
		assert.Equal(b, store.Done, b.claim(other, "late"))
		assert.Equal(b, store.Done, b.claim(other, "never claimed"))
	}},
	{"a lease that was made by a clock far ahead holds up nobody for so long", func(b *bench) {
		other := b.handle()
		b.clock.advance(1000 * time.Hour)
		assert.Equal(b, store.Claimed, b.claim(b, "mail"))
		b.clock.advance(-1000 * time.Hour)
		assert.Equal(b, store.Claimed, b.claim(other, "mail"))
		assert.Equal(b, store.Held, b.claim(b, "mail"))

		b.clock.advance(50 * time.Minute) // by which the clocks of several machines may differ
		assert.Equal(b, store.Claimed, b.claim(b, "other mail"))
		b.clock.advance(-50 * time.Minute)
		c, left, err := other.Claim(b.Context(), "other mail", lease)
		require.NoError(b, err)
		assert.Equal(b, store.Held, c)
		assert.Equal(b, 50*time.Minute+lease, left)
	}},
	{"what is released can be claimed at once", func(b *bench) {
		b.claim(b, "mail")
		require.NoError(b, b.Release(b.Context(), "mail"))
		require.NoError(b, b.Release(b.Context(), "mail"))
		require.NoError(b, b.Release(b.Context(), "never claimed"))
		assert.Equal(b, store.Claimed, b.claim(b.handle(), "mail"))
	}},
	{"nobody releases the claim of another", func(b *bench) {
		other := b.handle()
		b.claim(b, "mail")
		b.clock.advance(lease)
		b.claim(other, "mail")
		require.NoError(b, b.Release(b.Context(), "mail"))
		assert.Equal(b, store.Held, b.claim(b, "mail"))
	}},
	{"a claim outlives its store", func(b *bench) {
		b.claim(b, "mail")
		require.NoError(b, b.Close())
		assert.Equal(b, store.Held, b.claim(b.handle(), "mail"))
	}},
	{"of many at once one gets the claim", func(b *bench) {
		handles := []store.Store{b.Store, b.handle()}
		var won atomic.Int32
		for _, err := range together(64, func(n int) error {
			c, _, err := handles[n%2].Claim(b.Context(), "mail", lease)
			if err == nil && c == store.Claimed {
				won.Add(1)
			}
			return err
		}) {
			require.NoError(b, err)
		}
		assert.EqualValues(b, 1, won.Load())
	}},
	{"a claim belongs to no generation", func(b *bench) {
		b.claim(b, "held")
		require.NoError(b, b.Complete(b.Context(), "done"))
		require.NoError(b, b.Switch(b.Context(), b.build()))
		assert.Equal(b, store.Held, b.claim(b, "held"))
		assert.Equal(b, store.Done, b.claim(b, "done"))
	}},
	{"a claim needs an id and a lease", func(b *bench) {
		for _, id := range []string{"", strings.Repeat("x", store.MaxID+1), "\xff"} {
			_, _, err := b.Claim(b.Context(), id, lease)
			b.isKind(events.Invalid, err)
			b.isKind(events.Invalid, b.Complete(b.Context(), id))
			b.isKind(events.Invalid, b.Release(b.Context(), id))
		}
		for _, d := range []time.Duration{-time.Second, 0, time.Microsecond} {
			_, _, err := b.Claim(b.Context(), "mail", d)
			b.isKind(events.Invalid, err)
		}
		assert.Equal(b, store.Claimed, b.claim(b, "mail"))
	}},
}
