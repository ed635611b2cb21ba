package sqlite

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// row is an item as it is written. It is made before the item is queued, by the caller's own time, and shares no
// memory that the caller may change after an early return.
type row struct {
	values        [12]any // in the order of the insert; the first is the generation
	eventType, id string
	digest        [32]byte
	wishes        []store.Wish
}

// extra is what an item has beside its payload, as it was given.
type extra struct {
	City      string   `json:"city,omitempty"`
	Country   string   `json:"country,omitempty"`
	MachineID string   `json:"machineId,omitempty"`
	Type      string   `json:"type,omitempty"`
	Drinks    []string `json:"drinks,omitempty"`
}

func newRow(item store.Item) (*row, error) {
	if err := item.Check(); err != nil {
		return nil, err
	}
	l := item.Labels
	var more any
	if l != (store.Labels{}) || len(item.Drinks) > 0 {
		b, err := json.Marshal(extra{l.City, l.Country, l.MachineID, l.Type, item.Drinks})
		if err != nil {
			return nil, events.Wrap(events.Invalid, err, "the labels of %s %q cannot be kept", item.Type, events.LogID(item.ID))
		}
		more = string(b)
	}
	f := l.Folded()
	r := &row{eventType: item.Type, id: item.ID, digest: item.Digest, wishes: item.Wishes()}
	r.values = [12]any{0, item.Type, item.ID, item.EventID, item.CreatedAt.UnixMilli(), r.digest[:], string(item.Data), more,
		orNull(f.City), orNull(f.Country), orNull(f.MachineID), orNull(f.Type)}
	return r, nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Put implements [store.Writer].
func (s *Store) Put(ctx context.Context, item store.Item) error {
	r, err := newRow(item)
	if err != nil {
		return err
	}
	return s.writer.do(ctx, func(t *tx) error {
		at, err := t.pointer()
		if err != nil {
			return err
		}
		if err := t.keep(at.living, r); err != nil || at.building == 0 {
			return err
		}
		if err := t.keep(at.building, r); events.KindOf(err) != events.Conflict {
			return err
		}
		return nil // the living generation decides
	})
}

// Rebuild implements [store.Generations].
func (s *Store) Rebuild(ctx context.Context, generation int, item store.Item) error {
	r, err := newRow(item)
	if err != nil {
		return err
	}
	return s.writer.do(ctx, func(t *tx) error {
		if _, err := t.building(generation); err != nil {
			return err
		}
		return t.keep(generation, r)
	})
}

// errRowGone: an insert found a row that a query then did not, in the same transaction.
func errRowGone(err error) error {
	if err != nil {
		return err
	}
	return errors.New("a row and its index do not agree")
}
