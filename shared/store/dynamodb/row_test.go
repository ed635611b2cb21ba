package dynamodb

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/store"
)

var texts = []string{"", "a", "b", "ab", "a/b", "/", "//", "~", "~1", "~0", "~01", "a~1b", "a\x00b", "\x00", "\x01",
	"\x00\x00", "ä", "é", "z", "\U0010FFFF", "\uFFFD", "-", "item", "1"}

func TestPartitionKeysAreUnambiguous(t *testing.T) {
	seen := map[string][2]string{demandKey: {}, marksKey: {}}
	for _, a := range texts {
		for _, b := range texts {
			k := itemKey(a, b)
			other, taken := seen[k]
			require.False(t, taken, "%q is the key of %q and %q", k, other, []string{a, b})
			seen[k] = [2]string{a, b}
		}
	}
	assert.Equal(t, "1/item/request-created/0198f1c2-7d3a", itemKey("request-created", "0198f1c2-7d3a"))
	assert.Equal(t, "1/a~1b~0/c/d", join("a/b~", "c/d"))
}

func TestKeysAreWithinTheLimits(t *testing.T) {
	worst := strings.Repeat("/", store.MaxID)
	assert.LessOrEqual(t, len(itemKey(worst, worst)), 2048)
	assert.LessOrEqual(t, len(join(worst, strings.Repeat("/", store.FoldedBytes))), 2048)
	assert.LessOrEqual(t, len(when(time.Now(), worst)), 1024)
	nul := strings.Repeat("\x00", store.FoldedBytes)
	assert.LessOrEqual(t, len(ordered(nul, nul, nul)), 1024)
}

func TestCountersAreInTheOrderOfTheirTexts(t *testing.T) {
	for range 20_000 {
		var a, b [3]string
		for n := range a {
			a[n], b[n] = texts[rand.IntN(len(texts))], texts[rand.IntN(len(texts))]
		}
		want := cmp.Or(strings.Compare(a[0], b[0]), strings.Compare(a[1], b[1]), strings.Compare(a[2], b[2]))
		require.Equal(t, want, bytes.Compare(ordered(a[:]...), ordered(b[:]...)), "%q %q", a, b)
		inside := bytes.HasPrefix(ordered(b[:]...), ordered(a[0]))
		require.Equal(t, a[0] == b[0], inside, "%q %q", a[0], b)
	}
}

func TestTimesAreInOrder(t *testing.T) {
	times := []time.Time{{}, time.UnixMilli(-1 << 63), time.UnixMilli(1<<63 - 1), time.UnixMilli(-1), time.UnixMilli(0),
		time.UnixMilli(1), time.Now().Truncate(time.Millisecond)}
	for _, a := range times {
		for _, b := range times {
			for _, ids := range [][2]string{{"", ""}, {"a", "b"}, {"a", "a\x00"}, {"ä", "z"}} {
				want := cmp.Or(cmp.Compare(a.UnixMilli(), b.UnixMilli()), strings.Compare(ids[0], ids[1]))
				require.Equal(t, want, bytes.Compare(when(a, ids[0]), when(b, ids[1])))
			}
		}
		created, id := fromWhen(when(a, "id\x00"))
		assert.Equal(t, a.UnixMilli(), created.UnixMilli())
		assert.Equal(t, "id\x00", id)
	}
}

func TestARowIsReadAsItWasWritten(t *testing.T) {
	item := request("an/id")
	v := rowOf(item)
	assert.Equal(t, "1/item/request-created/an/id", textOf(v[pk]))
	assert.Equal(t, "1/request-created", textOf(v[listIndex]))
	assert.Equal(t, "1/request-created/berlin", textOf(v[cityIndex]))
	assert.NotContains(t, v, machineIndex, "an absent label keeps the row out of its index")
	got, err := itemOf(v)
	require.NoError(t, err)
	item.Labels, item.Drinks = store.Labels{}, nil
	assert.Equal(t, item, got)
	delete(v, "digest")
	_, err = itemOf(v)
	require.Error(t, err)
}
