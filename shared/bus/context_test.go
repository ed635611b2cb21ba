package bus

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// lifetime is what can be done with a context, step by step; what each step shows is written down.
type lifetime func(parent context.Context, abandon func(), make func(context.Context) (context.Context, func())) []any

type valueKey struct{}

// A handler's context must show what context.WithDeadline shows.
func TestHandlerContextIsLikeTheRealOne(t *testing.T) {
	const timeout = time.Minute
	over := func(ctx context.Context) bool {
		select {
		case <-ctx.Done():
			return true
		default:
			return false
		}
	}
	look := func(ctx context.Context) []any {
		deadline, ok := ctx.Deadline()
		return []any{ctx.Err(), over(ctx), context.Cause(ctx), time.Until(deadline), ok, ctx.Value(valueKey{}), ctx.Value("none")}
	}
	lives := map[string]lifetime{}
	for when, wait := range map[string]time.Duration{"before": timeout - 1, "at": timeout, "after": 2 * timeout} {
		for _, first := range []string{"Err", "Done", "Cause", "nothing"} {
			use := func(ctx context.Context) {
				switch first {
				case "Err":
					_ = ctx.Err()
				case "Done":
					_ = ctx.Done()
				case "Cause":
					_ = context.Cause(ctx)
				}
			}
			id := fmt.Sprintf("%s the deadline, %s asked before: ", when, first)
			lives[id+"looked at"] = func(parent context.Context, _ func(), make func(context.Context) (context.Context, func())) []any {
				ctx, end := make(parent)
				defer end()
				use(ctx)
				pass(wait)
				return look(ctx)
			}
			lives[id+"handler returned"] = func(parent context.Context, _ func(), make func(context.Context) (context.Context, func())) []any {
				ctx, end := make(parent)
				use(ctx)
				pass(wait)
				end()
				seen := []any{ctx.Err()}
				pass(2 * timeout)
				child, cancel := context.WithCancel(ctx)
				defer cancel()
				return append(append(seen, look(ctx)...), look(child)...)
			}
			lives[id+"partition abandoned"] = func(parent context.Context, abandon func(), make func(context.Context) (context.Context, func())) []any {
				ctx, end := make(parent)
				use(ctx)
				pass(wait)
				use(ctx)
				abandon()
				synctest.Wait()
				seen := look(ctx)
				pass(2 * timeout)
				end()
				if first == "nothing" && wait >= timeout {
					return nil // whether it was the deadline or the abandoning can't be told later, and nobody asked
				}
				return append(seen, look(ctx)...)
			}
			lives[id+"children"] = func(parent context.Context, _ func(), make func(context.Context) (context.Context, func())) []any {
				ctx, end := make(parent)
				use(ctx)
				called := 0
				stop := context.AfterFunc(ctx, func() { called++ })
				child, cancelChild := context.WithCancel(ctx)
				defer cancelChild()
				short, cancelShort := context.WithTimeout(ctx, time.Second)
				defer cancelShort()
				long, cancelLong := context.WithTimeout(ctx, time.Hour)
				defer cancelLong()
				detached := context.WithoutCancel(ctx)
				pass(wait)
				seen := []any{called, child.Err(), short.Err(), detached.Err()}
				end()
				synctest.Wait()
				seen = append(seen, called, stop())
				return append(append(append(seen, look(child)...), look(short)...), look(long)...)
			}
		}
	}
	for name, live := range lives {
		t.Run(name, func(t *testing.T) {
			var seen [2][]any
			for i, make := range []func(context.Context) (context.Context, func()){
				func(parent context.Context) (context.Context, func()) {
					return context.WithDeadline(parent, time.Now().Add(timeout))
				},
				func(parent context.Context) (context.Context, func()) {
					c := &handlerContext{Context: parent, deadline: time.Now().Add(timeout)}
					return c, func() { c.end(!time.Now().Before(c.deadline)) }
				},
			} {
				synctest.Test(t, func(t *testing.T) {
					parent, abandon := context.WithCancel(context.WithValue(context.Background(), valueKey{}, "v"))
					defer abandon()
					seen[i] = live(parent, abandon, make)
				})
			}
			assert.Equal(t, seen[0], seen[1])
		})
	}
}

func TestHandlerContextCostsLittleUnlessItIsUsed(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	var kept context.Context
	allocations := testing.AllocsPerRun(100, func() {
		c := &handlerContext{Context: parent, deadline: time.Now().Add(time.Hour)}
		kept = c
		_ = kept.Err()
		_ = kept.Value(valueKey{})
		c.end(false)
	})
	assert.LessOrEqual(t, allocations, 1.0)
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
