package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

const (
	maxDifferences = 1000            // then compare stops
	settleTime     = 3 * time.Second // what one model has and the other has not yet may be on its way
)

// compare lists in what two read models differ: items by type and id, demand by place and drink. A difference counts if it
// is still there after a while.
func compare(ctx context.Context, a, b store.Reader, nameA, nameB string) (differences []string, err error) {
	var suspects []store.Item
	for _, topic := range topicNames() {
		found, err := compareLists(ctx, a, b, topic, maxDifferences-len(suspects))
		if err != nil {
			return nil, err
		}
		suspects = append(suspects, found...)
	}
	demand, err := compareDemand(ctx, a, b)
	if err != nil || len(suspects)+len(demand) == 0 {
		return nil, err
	}
	select {
	case <-time.After(settleTime):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for _, s := range suspects {
		x, errX := a.Get(ctx, s.Type, s.ID)
		y, errY := b.Get(ctx, s.Type, s.ID)
		missingX, missingY := events.KindOf(errX) == events.NotFound, events.KindOf(errY) == events.NotFound
		switch {
		case errX != nil && !missingX, errY != nil && !missingY:
			return nil, errors.Join(errX, errY)
		case missingX && missingY, !missingX && !missingY && equal(x, y):
		case missingX:
			differences = append(differences, fmt.Sprintf("%s %q is in %s only", s.Type, s.ID, nameB))
		case missingY:
			differences = append(differences, fmt.Sprintf("%s %q is in %s only", s.Type, s.ID, nameA))
		default:
			differences = append(differences, fmt.Sprintf("%s %q differs (events %q and %q)", s.Type, s.ID, x.EventID, y.EventID))
		}
	}
	if len(demand) > 0 {
		if demand, err = compareDemand(ctx, a, b); err != nil {
			return nil, err
		}
	}
	return append(differences, demand...), nil
}

func equal(x, y store.Item) bool {
	return x.ID == y.ID && x.EventID == y.EventID && x.CreatedAt.Equal(y.CreatedAt) && x.Digest == y.Digest &&
		bytes.Equal(x.Data, y.Data) && x.Labels == y.Labels && slices.Equal(x.Drinks, y.Drinks)
}

// stream reads a list page by page.
type stream[T any] struct {
	read func(cursor string) (page []T, next string, err error)
	page []T
	next string
	over bool
}

// peek is the next element; nil at the end.
func (s *stream[T]) peek() (*T, error) {
	for len(s.page) == 0 && !s.over {
		var err error
		if s.page, s.next, err = s.read(s.next); err != nil {
			return nil, err
		}
		s.over = s.next == ""
	}
	if len(s.page) == 0 {
		return nil, nil
	}
	return &s.page[0], nil
}

// merge walks through two ordered streams and calls differ for what is in one of them only (the other is nil) or not same
// in both.
func merge[T any](a, b *stream[T], order func(x, y T) int, same func(x, y T) bool, differ func(x, y *T) (more bool)) error {
	for {
		x, err := a.peek()
		if err != nil {
			return err
		}
		y, err := b.peek()
		if err != nil || x == nil && y == nil {
			return err
		}
		var first int
		switch {
		case y == nil:
			first = -1
		case x == nil:
			first = 1
		default:
			first = order(*x, *y)
		}
		if first < 0 {
			y = nil
		} else if first > 0 {
			x = nil
		}
		if (x == nil || y == nil || !same(*x, *y)) && !differ(x, y) {
			return nil
		}
		if x != nil {
			a.page = a.page[1:]
		}
		if y != nil {
			b.page = b.page[1:]
		}
	}
}

func compareLists(ctx context.Context, a, b store.Reader, topic string, limit int) (found []store.Item, err error) {
	list := func(s store.Reader) *stream[store.Item] {
		return &stream[store.Item]{read: func(cursor string) ([]store.Item, string, error) {
			page, err := s.List(ctx, store.Query{Type: topic, Limit: store.MaxLimit, Cursor: cursor})
			return page.Items, page.Next, err
		}}
	}
	newestFirst := func(x, y store.Item) int {
		return cmp.Or(y.CreatedAt.Compare(x.CreatedAt), strings.Compare(y.ID, x.ID))
	}
	err = merge(list(a), list(b), newestFirst, equal, func(x, y *store.Item) bool {
		found = append(found, *cmp.Or(x, y))
		return len(found) < limit
	})
	slices.SortFunc(found, func(x, y store.Item) int { return strings.Compare(x.ID, y.ID) })
	return slices.CompactFunc(found, func(x, y store.Item) bool { return x.ID == y.ID }), err
}

func compareDemand(ctx context.Context, a, b store.Reader) (differences []string, err error) {
	list := func(s store.Reader) *stream[store.Demand] {
		return &stream[store.Demand]{read: func(cursor string) ([]store.Demand, string, error) {
			page, err := s.Demand(ctx, store.DemandQuery{Limit: store.MaxLimit, Cursor: cursor})
			return page.Items, page.Next, err
		}}
	}
	order := func(x, y store.Demand) int {
		return cmp.Or(strings.Compare(store.Fold(x.Country), store.Fold(y.Country)), strings.Compare(store.Fold(x.City),
			store.Fold(y.City)),
			strings.Compare(store.Fold(x.Drink), store.Fold(y.Drink)))
	}
	same := func(x, y store.Demand) bool { return x.Count == y.Count } // which spelling came first depends on the partitions
	err = merge(list(a), list(b), order, same, func(x, y *store.Demand) bool {
		none := store.Demand{}
		differences = append(differences, fmt.Sprintf("demand for %q in %q, %q is %d and %d", cmp.Or(x, y).Drink, cmp.Or(x, y).City,
			cmp.Or(x, y).Country, cmp.Or(x, &none).Count, cmp.Or(y, &none).Count))
		return len(differences) < maxDifferences
	})
	return differences, err
}
