package faults

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// margin is the time of load before the first fault and after the last.
const margin = 10 * time.Second

// brief are the kinds that are over soon, but for the [longer] ones.
var brief = []string{"F1", "F3", "F8", "F13", "F14", "F15", "F19"}

// takes is about how long the fault takes, with a second of load after it.
func (m misfortune) takes() time.Duration {
	usual := faultTime + time.Second
	if slices.Contains(brief, m.kind) {
		usual = 4 * time.Second
	}
	return cmp.Or(longer[m.what], usual)
}

// selected returns the faults that FAULT_KINDS names, separated by commas: a kind, such as F4, or a part of what happens.
func selected(names string) (all []misfortune) {
	for _, m := range misfortunes {
		if names == "" || slices.ContainsFunc(strings.Split(names, ","), func(name string) bool {
			return m.kind == name || len(name) > 3 && strings.Contains(m.what, name)
		}) {
			all = append(all, m)
		}
	}
	return all
}

// choose returns the faults of a run: one of each kind and stage as long as there is time, then others, but for a twelfth of the
// time: some faults take longer on a busy machine. Which one of a kind, the seed says. left are those for which there is no time.
func choose(seed int64, duration time.Duration, list []misfortune) (chosen, left []misfortune) {
	random := rand.New(rand.NewPCG(uint64(seed), 2))
	spare := duration - margin
	list = slices.Clone(list)
	groups := map[[2]string][]misfortune{}
	var order [][2]string
	for _, m := range list {
		group := [2]string{m.kind, m.stage}
		if groups[group] == nil {
			order = append(order, group)
		}
		groups[group] = append(groups[group], m)
	}
	shortest := func(all []misfortune) misfortune {
		return slices.MinFunc(all, func(a, b misfortune) int { return cmp.Compare(a.takes(), b.takes()) })
	}
	var each []misfortune
	for _, group := range order {
		if m := shortest(groups[group]); len(each) == 0 || m.takes() <= spare {
			each, spare = append(each, m), spare-m.takes()
		}
	}
	others := map[int]misfortune{} // in their stead, if there is time for the longest of them
	for i, m := range each {
		group := groups[[2]string{m.kind, m.stage}]
		others[i] = group[random.IntN(len(group))]
	}
	longestFirst := func(a, b int) int { return cmp.Compare(others[b].takes(), others[a].takes()) }
	for _, i := range slices.SortedStableFunc(slices.Values(random.Perm(len(each))), longestFirst) {
		if more := others[i].takes() - each[i].takes(); more <= max(spare, 0) {
			each[i], spare = others[i], spare-more
		}
	}
	spare -= duration / 12
	count := map[string]int{}
	add := func(m misfortune) {
		chosen = append(chosen, m)
		count[m.what]++
	}
	for _, m := range each {
		add(m)
	}
	for more := true; more; {
		more = false
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		slices.SortStableFunc(list, func(a, b misfortune) int { return cmp.Compare(count[a.what], count[b.what]) })
		for _, m := range list {
			if m.takes() <= spare {
				add(m)
				spare, more = spare-m.takes(), true
			}
		}
	}
	left = slices.DeleteFunc(slices.Clone(list), func(m misfortune) bool { return count[m.what] > 0 })
	return chosen, left
}

// plan shuffles faults by the seed, and says when each begins.
func plan(seed int64, duration time.Duration, chosen []misfortune) (all []misfortune, at []time.Duration) {
	all = slices.Clone(chosen)
	random := rand.New(rand.NewPCG(uint64(seed), 4))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if i := slices.IndexFunc(all, func(m misfortune) bool { return m.what == neverReturns }); i >= 0 {
		all[0], all[i] = all[i], all[0]
	}
	var took time.Duration
	for _, m := range all {
		at = append(at, margin/2+took)
		took += m.takes()
	}
	if spare := duration - margin - took; spare > 0 {
		for i := range at {
			at[i] += spare * time.Duration(i) / time.Duration(len(at))
		}
	}
	return all, at
}

func kindsOf(all []misfortune) map[[2]string]bool {
	kinds := map[[2]string]bool{}
	for _, m := range all {
		kinds[[2]string{m.kind, m.stage}] = true
	}
	return kinds
}

// Four minutes have each kind of fault and each stage, whatever the seed, and many seeds have each fault. Hours have all.
func TestEachKindOfFaultIsChosen(t *testing.T) {
	t.Parallel()
	ever := map[string]bool{}
	for seed := range int64(200) {
		chosen, left := choose(seed, 4*time.Minute, selected(""))
		require.Equal(t, kindsOf(misfortunes), kindsOf(chosen), "seed %d", seed)
		var took time.Duration
		for _, m := range chosen {
			ever[m.what], took = true, took+m.takes()
		}
		require.LessOrEqual(t, took, 4*time.Minute-margin)
		for _, m := range left {
			require.False(t, slices.ContainsFunc(chosen, func(c misfortune) bool { return c.what == m.what }), m.what)
		}
	}
	for _, m := range misfortunes {
		assert.Contains(t, slices.Collect(maps.Keys(ever)), m.what)
	}
	_, left := choose(1, time.Hour, selected(""))
	assert.Empty(t, left)
	kinds := kindsOf(misfortunes)
	for n := 1; n <= 20; n++ {
		kind := fmt.Sprint("F", n)
		assert.True(t, kinds[[2]string{kind, ""}] != (notDone[kind] != ""), "%s is either done or not", kind)
	}
	assert.Len(t, selected("F7,add a partition"), 2)
}
