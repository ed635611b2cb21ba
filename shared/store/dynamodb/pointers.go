package dynamodb

import (
	"context"
	"maps"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/events"
)

// How a switch loses nothing. Whoever writes takes the generations from a pointer that may be stale, writes, and then reads the pointer,
// strongly consistent, by a read that begins after the write has ended. If it names the same generations, the item is
// where it belongs, and Put answers; else everything is done again by the new pointer, which changes nothing where the item stands already. So no
// event is acknowledged that is in the old generation alone; one that a process leaves there as it dies was not, and comes again.
//
// A ConditionCheck of the pointer inside the transaction would say the same, but make the pointer an item of every transaction, and two
// ongoing transactions of one item conflict
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling): all
// writers would take turns, at 500 a second at best, and a switch would have to find a moment without any. A read costs a fifth, and
// concurrent calls share it.
//
// Readers read the pointer at the same time as what it points to, and again what it points to if that has changed.

// pointer says which generations there are. The row is made by the first Build: a table without it is generation 1.
type pointer struct {
	living, building, last int
	version                int64
	step                   string        // the call that wrote this version
	dropping               map[int]int64 // generations whose rows may be there still; Unix milliseconds of when they were left
}

func (p pointer) same(q pointer) bool { return p.living == q.living && p.building == q.building }

func (p pointer) row() key {
	dropping := make(key, len(p.dropping))
	for g, since := range p.dropping {
		dropping[strconv.Itoa(g)] = number(since)
	}
	return key{
		pk: text(pointerKey), sk: data(alone), "living": number(int64(p.living)), "building": number(int64(p.building)), "last": number(int64(p.last)),
		"version": number(p.version), "step": text(p.step), "dropping": &types.AttributeValueMemberM{Value: dropping},
	}
}

func fromPointerRow(v key) (pointer, error) {
	if len(v) == 0 {
		return pointer{living: 1, last: 1}, nil
	}
	p := pointer{
		living: int(numberOf(v["living"])), building: int(numberOf(v["building"])), last: int(numberOf(v["last"])),
		version: numberOf(v["version"]), step: textOf(v["step"]), dropping: map[int]int64{},
	}
	if p.living < 1 || p.last < p.living || p.last < p.building {
		return pointer{}, events.Errorf(events.Unavailable, "the row %q is no pointer of this version: is the table another program's?", pointerKey)
	}
	if m, ok := v["dropping"].(*types.AttributeValueMemberM); ok {
		for g, since := range m.Value {
			if n, err := strconv.Atoi(g); err == nil {
				p.dropping[n] = numberOf(since)
			}
		}
	}
	return p, nil
}

// leaving is p without a generation that is no longer in use.
func (p pointer) leaving(generation int, now time.Time) pointer {
	p.dropping = maps.Clone(p.dropping)
	if p.dropping == nil {
		p.dropping = map[int]int64{}
	}
	p.dropping[generation] = now.UnixMilli()
	return p
}

func (s *Store) readPointer() (at pointer, err error) {
	err = s.call(s.ctx, func(ctx context.Context) error {
		out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: keyOf(pointerKey, alone), ConsistentRead: aws.Bool(true)})
		if err == nil {
			at, err = fromPointerRow(out.Item)
		}
		return err
	})
	return at, err
}

// fresh is for how long a write begins with the pointer that was read last. It bounds how late a write can reach a
// generation that was left, and so when its rows can be deleted.
const fresh = 5 * time.Second

const forever = time.Duration(math.MaxInt64)

// pointers reads the pointer row, once for all who ask at the same time.
type pointers struct {
	read  func() (pointer, error)
	start func(func()) bool

	mu           sync.Mutex
	last         pointer
	since        time.Time // of last; zero if there is none
	flight, next *reading
}

// reading is one read of the row.
type reading struct {
	ended chan struct{}
	at    pointer
	err   error
}

func (r *reading) wait(ctx context.Context) (pointer, error) {
	select {
	case <-r.ended:
		return r.at, r.err
	case <-ctx.Done():
		return pointer{}, ended(ctx.Err())
	}
}

// ask is a read that begins after now.
func (p *pointers) ask() *reading {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &reading{ended: make(chan struct{})}
	switch {
	case p.flight == nil:
		if !p.start(func() { p.run(r) }) {
			r.err = closedError()
			close(r.ended)
			return r
		}
		p.flight = r
	case p.next == nil:
		p.next = r
	default:
		r = p.next
	}
	return r
}

func (p *pointers) run(r *reading) {
	for r != nil {
		begun := time.Now()
		r.at, r.err = p.read()
		p.mu.Lock()
		if r.err == nil {
			p.last, p.since = r.at, begun
		}
		close(r.ended)
		r = p.next
		p.flight, p.next = r, nil
		p.mu.Unlock()
	}
}

// latest is the pointer of a moment after the call began.
func (p *pointers) latest(ctx context.Context) (pointer, error) {
	if err := ctx.Err(); err != nil {
		return pointer{}, ended(err)
	}
	return p.ask().wait(ctx)
}

// set takes note of a pointer that was just written.
func (p *pointers) set(to pointer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.since = to, time.Now()
}

// known is the pointer that was read last, if it is younger than age.
func (p *pointers) known(ctx context.Context, age time.Duration) (pointer, error) {
	p.mu.Lock()
	at, since := p.last, p.since
	p.mu.Unlock()
	if !since.IsZero() && time.Since(since) < age {
		return at, nil
	}
	return p.latest(ctx)
}
