package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// settleTime is how long what one read model has and the other has not yet may be on its way.
const settleTime = 3 * time.Second

// Differences lists what differs between two read models: items of these types by id, demand by drink and place. While traffic
// continues, a difference counts if it is still there after 3 s. It needs some 200 bytes of memory per item of a type.
func Differences(ctx context.Context, a, b Reader, types []string, nameA, nameB string) (differences []string, err error) {
	first, err := differing(ctx, a, b, types, nameA, nameB)
	if err != nil || len(first) == 0 {
		return nil, err
	}
	select {
	case <-time.After(settleTime):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	second, err := differing(ctx, a, b, types, nameA, nameB)
	for _, name := range slices.Sorted(maps.Keys(second)) {
		if first[name] != "" {
			differences = append(differences, name+" "+second[name])
		}
	}
	return differences, err
}

// differing returns by item and demand how it differs. It reads both models at the same time, because traffic continues.
func differing(ctx context.Context, a, b Reader, types []string, nameA, nameB string) (map[string]string, error) {
	found := map[string]string{}
	for _, kind := range slices.Concat(types, []string{""}) {
		var inA, inB map[string]string
		reading, ctx := errgroup.WithContext(ctx)
		reading.Go(func() (err error) { inA, err = contents(ctx, a, kind); return err })
		reading.Go(func() (err error) { inB, err = contents(ctx, b, kind); return err })
		if err := reading.Wait(); err != nil {
			return nil, err
		}
		for name, x := range inA {
			if y, both := inB[name]; !both {
				found[name] = "is in " + nameA + " only"
			} else if x != y {
				found[name] = fmt.Sprintf("differs: %s and %s", x, y)
			}
			delete(inB, name)
		}
		for name := range inB {
			found[name] = "is in " + nameB + " only"
		}
	}
	return found, nil
}

// contents are the items of a type by type and id, as their event and a digest; without a type, the demand by drink and place.
func contents(ctx context.Context, s Reader, kind string) (map[string]string, error) {
	all := map[string]string{}
	for q, more := (Query{Type: kind, Limit: MaxLimit}), kind != ""; more; more = q.Cursor != "" {
		page, err := s.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, i := range page.Items {
			digest := sha256.Sum256(fmt.Appendf(nil, "%d %x %q", i.CreatedAt.UnixMilli(), i.Digest, i.Data))
			all[fmt.Sprintf("%s %q", i.Type, i.ID)] = fmt.Sprintf("event %q (%x)", i.EventID, digest[:6])
		}
		q.Cursor = page.Next
	}
	for q, more := (DemandQuery{Limit: MaxLimit}), kind == ""; more; more = q.Cursor != "" {
		page, err := s.Demand(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, d := range page.Items { // which spelling came first depends on the partitions
			drink, city, country := Fold(d.Drink), Fold(d.City), Fold(d.Country)
			all[fmt.Sprintf("demand for %q in %q, %q", drink, city, country)] = strconv.FormatInt(d.Count, 10)
		}
		q.Cursor = page.Next
	}
	return all, nil
}
