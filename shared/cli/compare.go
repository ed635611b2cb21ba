package cli

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/sipeat/sipeat/shared/store"
	"golang.org/x/sync/errgroup"
)

// settleTime is how long what one read model has and the other has not yet may be on its way.
const settleTime = 3 * time.Second

// compare lists what differs between two read models, a line each: items by type and id, demand by drink and place. A
// difference counts if it is still there after [settleTime]. The memory that it needs grows by some 200 bytes per item of a
// topic.
func compare(ctx context.Context, a, b store.Reader, nameA, nameB string) (differences []string, err error) {
	found, err := differing(ctx, a, b, nameA, nameB)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	select {
	case <-time.After(settleTime):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	again, err := differing(ctx, a, b, nameA, nameB)
	for _, what := range slices.Sorted(maps.Keys(again)) {
		if _, before := found[what]; before {
			differences = append(differences, what+" "+again[what])
		}
	}
	return differences, err
}

// differing returns by item and demand how it differs. It reads each list of both models at the same time, because traffic
// continues.
func differing(ctx context.Context, a, b store.Reader, nameA, nameB string) (map[string]string, error) {
	found := map[string]string{}
	for _, topic := range append(topicNames(), "") {
		var inA, inB map[string]string
		reading, ctx := errgroup.WithContext(ctx)
		reading.Go(func() (err error) { inA, err = contents(ctx, a, topic); return err })
		reading.Go(func() (err error) { inB, err = contents(ctx, b, topic); return err })
		if err := reading.Wait(); err != nil {
			return nil, err
		}
		for what, x := range inA {
			if y, both := inB[what]; !both {
				found[what] = "is in " + nameA + " only"
			} else if x != y {
				found[what] = fmt.Sprintf("differs: %s and %s", x, y)
			}
			delete(inB, what)
		}
		for what := range inB {
			found[what] = "is in " + nameB + " only"
		}
	}
	return found, nil
}

// contents are the items of a topic by type and id, as their event and a digest; without a topic, the demand by drink and place.
func contents(ctx context.Context, s store.Reader, topic string) (map[string]string, error) {
	if topic == "" {
		return demand(ctx, s)
	}
	all := map[string]string{}
	for q := (store.Query{Type: topic, Limit: store.MaxLimit}); ; {
		page, err := s.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, i := range page.Items {
			digest := sha256.Sum256(fmt.Appendf(nil, "%d %x %q %q %q", i.CreatedAt.UnixMilli(), i.Digest, i.Data, i.Labels, i.Drinks))
			all[fmt.Sprintf("%s %q", i.Type, i.ID)] = fmt.Sprintf("event %q (%x)", i.EventID, digest[:6])
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return all, nil
		}
	}
}

func demand(ctx context.Context, s store.Reader) (map[string]string, error) {
	all := map[string]string{}
	for q := (store.DemandQuery{Limit: store.MaxLimit}); ; {
		page, err := s.Demand(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, d := range page.Items { // which spelling came first depends on the partitions
			drink, city, country := store.Fold(d.Drink), store.Fold(d.City), store.Fold(d.Country)
			all[fmt.Sprintf("demand for %q in %q, %q", drink, city, country)] = strconv.FormatInt(d.Count, 10)
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return all, nil
		}
	}
}
