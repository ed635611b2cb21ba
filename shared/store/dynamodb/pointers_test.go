package dynamodb

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sipeat/sipeat/shared/events"
)

func TestAReadOfThePointerBeginsAfterItWasAskedFor(t *testing.T) {
	t.Parallel()
	begun, proceed := make(chan int, 9), make(chan bool)
	reads := 0
	p := &pointers{start: func(run func()) bool { go run(); return true }}
	p.read = func() (pointer, error) {
		reads++
		n := reads
		begun <- n
		<-proceed
		return pointer{living: n}, nil
	}
	first := p.ask()
	<-begun
	second, third := p.ask(), p.ask() // while the first is under way: it may have seen what was before them
	proceed <- true
	<-begun
	proceed <- true
	for r, want := range map[*reading]int{first: 1, second: 2, third: 2} {
		at, err := r.wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, want, at.living)
	}
	p.start = func(func()) bool { return false }
	_, err := p.latest(t.Context())
	assert.ErrorContains(t, err, "closed")
}

// hanging is a server that never answers.
type hanging struct{ reached chan bool }

func (h hanging) Do(r *http.Request) (*http.Response, error) {
	h.reached <- true
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestClosingEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	cfg, err := FromEnvironment(func(name string) string { return map[string]string{"DYNAMODB_ENDPOINT": "http://dynamodb.test"}[name] })
	require.NoError(t, err)
	h := hanging{make(chan bool, 9)}
	cfg.HTTPClient = h
	s := open(t, cfg, "drinks")
	done := make(chan error)
	go func() { done <- s.Complete(t.Context(), "mail") }()
	<-h.reached
	begun := time.Now()
	require.NoError(t, s.Close())
	err = <-done
	assert.Equal(t, events.Unavailable, events.KindOf(err))
	require.ErrorContains(t, err, "closed")
	assert.Less(t, time.Since(begun), attempt/2)
}
