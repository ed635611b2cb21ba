package dynamodb

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Generations implements [store.Generations].
func (s *Store) Generations(ctx context.Context) (living, building int, err error) {
	if err := s.usable(ctx); err != nil {
		return 0, 0, err
	}
	p, err := s.pointers.latest(ctx)
	return p.living, p.building, err
}

// Build implements [store.Generations].
func (s *Store) Build(ctx context.Context) (generation int, err error) {
	p, err := s.step(ctx, func(p pointer) (pointer, error) {
		if p.building != 0 {
			return p, store.AlreadyBuilding(p.building)
		}
		p.last++
		p.building = p.last
		return p, nil
	})
	return p.building, err
}

// Switch implements [store.Generations].
func (s *Store) Switch(ctx context.Context, generation int) error {
	return s.leave(ctx, generation, func(p pointer) pointer {
		old := p.living
		p.living, p.building = p.building, 0
		return p.leaving(old, time.Now())
	})
}

// Abandon implements [store.Generations].
func (s *Store) Abandon(ctx context.Context, generation int) error {
	return s.leave(ctx, generation, func(p pointer) pointer {
		p.building = 0
		return p.leaving(generation, time.Now())
	})
}

func (s *Store) leave(ctx context.Context, generation int, to func(pointer) pointer) error {
	_, err := s.step(ctx, func(p pointer) (pointer, error) {
		if err := beingBuilt(p, generation); err != nil {
			return p, err
		}
		return to(p), nil
	})
	s.sweeps.wake() // whatever became of it: sweeping looks for itself
	return err
}

func beingBuilt(p pointer, generation int) error {
	if generation < 1 || generation != p.building {
		return store.NotBuilding(generation, p.building)
	}
	return nil
}

// step changes the pointer. If another step comes between reading and writing it, what is to be changed is decided again.
func (s *Store) step(ctx context.Context, change func(pointer) (pointer, error)) (pointer, error) {
	for mine := uuid.NewString(); ; {
		if err := s.usable(ctx); err != nil {
			return pointer{}, err
		}
		p, err := s.pointers.latest(ctx)
		if err != nil {
			return pointer{}, err
		}
		if p.step == mine { // an earlier try, whose answer was lost
			return p, nil
		}
		to, err := change(p)
		if err != nil {
			return pointer{}, err
		}
		to.version, to.step = p.version+1, mine
		err = s.call(ctx, func(ctx context.Context) error {
			_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{
				TableName: &s.table, Item: to.row(),
				ConditionExpression:       aws.String("attribute_not_exists(pk) OR version = :version"),
				ExpressionAttributeValues: key{":version": number(p.version)},
			})
			return err
		})
		if lost := (*types.ConditionalCheckFailedException)(nil); errors.As(err, &lost) {
			continue
		}
		if err == nil {
			s.pointers.set(to)
		}
		return to, err
	}
}

// forget takes a generation without rows off the pointer.
func (s *Store) forget(ctx context.Context, generation int) error {
	_, err := s.step(ctx, func(p pointer) (pointer, error) {
		if _, ok := p.dropping[generation]; !ok {
			return p, errForgotten
		}
		p.dropping = maps.Clone(p.dropping)
		delete(p.dropping, generation)
		return p, nil
	})
	if errors.Is(err, errForgotten) {
		return nil
	}
	return err
}

var errForgotten = events.Errorf(events.Conflict, "the rows of the generation are gone already")

// stable does something by generations that were read at most age ago, and again until they are the same before and after.
func (s *Store) stable(ctx context.Context, age time.Duration, do func(pointer) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	p, err := s.pointers.known(ctx, age)
	for err == nil {
		answer := do(p)
		if events.KindOf(answer) == events.Unavailable {
			return answer
		}
		var now pointer
		if now, err = s.pointers.latest(ctx); err == nil && now.same(p) {
			if len(now.dropping) > 0 {
				s.sweeps.wake()
			}
			return answer
		}
		p = now
	}
	return err
}

// living asks something of the living generation, and again if that has changed since.
func (s *Store) living(ctx context.Context, ask func(generation int) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	p, err := s.pointers.known(ctx, forever)
	for err == nil {
		now := s.pointers.ask()
		answer := ask(p.living)
		var is pointer
		if is, err = now.wait(ctx); err == nil && is.living == p.living {
			return answer
		}
		p = is
	}
	return err
}
