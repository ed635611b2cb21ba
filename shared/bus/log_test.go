package bus_test

import (
	"context"
	"errors"
	"log/slog"
	"math/bits"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
	"github.com/stretchr/testify/assert"
)

// Lines grow rare and never end, whatever the number of attempts is: an event that is handled no more and is in no dead
// letter either is somebody's to look into.
func TestADeadLetterThatCannotBeWrittenIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, bus.Options{Attempts: 5, MinBackoff: time.Second, MaxBackoff: time.Second}, func(context.Context, event) error {
			return errors.New("?")
		})
		r.refuse = func(bus.Letter) error { return errors.New("no right to write") }
		r.deliver(moved(0, "a1"))
		pass(time.Hour)
		var lines strings.Builder
		log := bus.Log(slog.New(slog.NewTextHandler(&lines, nil)), "movers")
		r.mu.Lock()
		defer r.mu.Unlock()
		letters := 0
		for _, report := range r.reports {
			log(report)
			letters = max(letters, report.Unkept)
		}
		assert.Greater(t, letters, 2000)
		assert.Equal(t, 3, strings.Count(lines.String(), "outcome=failed"), "of tries 1 to 4")
		assert.Equal(t, bits.Len(uint(letters)), strings.Count(lines.String(), "no right to write"), "1st, 2nd, 4th … of %d", letters)
	})
}
