package dynamodb

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Put implements [store.Writer]. While a generation is being built it is two transactions, one behind the other: what the second
// writes depends on what the first says, and Put answers behind both.
func (s *Store) Put(ctx context.Context, item store.Item) error {
	r, err := newRow(item)
	if err != nil {
		return err
	}
	return s.stable(ctx, fresh, func(p pointer) error {
		if err := s.keep(ctx, p.living, r); err != nil || p.building == 0 {
			return err
		}
		if err := s.keep(ctx, p.building, r); events.KindOf(err) != events.Conflict {
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
	return s.stable(ctx, 0, func(p pointer) error { // 0: what is no longer being built may be living, and is not to be touched
		if err := beingBuilt(p, generation); err != nil {
			return err
		}
		return s.keep(ctx, generation, r)
	})
}

// keep adds the item to a generation, by the rules of Put.
func (s *Store) keep(ctx context.Context, generation int, r *row) error {
	if err := s.announce(ctx, generation, r.item.Type); err != nil {
		return err
	}
	return s.writer.do(newOp(ctx, generation, r))
}

// announce writes the types row, which must be there before the first item of the type: a generation is deleted by these rows.
func (s *Store) announce(ctx context.Context, generation int, eventType string) error {
	name := join(generation, eventType)
	if _, ok := s.types.Load(name); ok {
		return nil
	}
	err := s.call(ctx, func(ctx context.Context) error {
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: keyOf(typesKey(generation), []byte(eventType))})
		return err
	})
	if err == nil {
		s.types.Store(name, true)
	}
	return err
}
