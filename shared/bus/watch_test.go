package bus

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAProcessThatWasStoppedGetsTheGraceAnew(t *testing.T) {
	v := vigil{every: time.Second, grace: 5 * time.Second}
	looks := func(at time.Duration, judges bool) {
		t.Helper()
		assert.Equal(t, judges, v.judges(at*time.Second), "at %d s", at)
	}
	looks(1, true)
	looks(3, true) // a busy machine
	looks(60, false)
	looks(61, false)
	looks(64, false) // stopped again, for as long as nobody could tell from the first
	looks(65, false)
	looks(66, false)
	looks(67, false)
	looks(68, false)
	looks(69, true)
	looks(70, true)
}
