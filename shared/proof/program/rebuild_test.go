package program

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
)

func requests(first, last int) string {
	var b strings.Builder
	for n := first; n <= last; n++ {
		fmt.Fprintf(&b, `{"name":"Ada","email":"a@b.co","phone":"+44 20 7946 0958","address":"Street 1","city":"Berlin",`+
			`"country":"DE","drinksList":["Cola","Tea %d"]}`+"\n", n%7)
	}
	return b.String()
}

// counts returns how many requests there are, by the lists and by the demand.
func (s *Serving) counts() (listed, demanded int) {
	for _, d := range s.Pages("/demand", "", 100) {
		if d["drink"] == "Cola" {
			demanded = int(d["count"].(float64))
		}
	}
	return len(s.Pages("/requests", "", 100)), demanded
}

func (s *Serving) readiness(status int, text string) {
	s.T.Helper()
	Until(s.T, func() error {
		a, err := Try("GET", s.URL+"/readyz", "")
		if err == nil && (a.Status != status || !strings.Contains(a.Body, text)) {
			err = fmt.Errorf("%d %s", a.Status, a.Body)
		}
		return err
	})
}

// A deleted read model is reported and can be rebuilt. No notification is delivered again: neither after that nor after
// the groups' offsets are reset.
func TestADeletedReadModelIsRebuilt(t *testing.T) {
	t.Parallel()
	const n = 120
	data := t.TempDir()
	s := serve(t, data)
	require.Zero(t, s.publish("request-created", requests(1, n)).Status)
	Handled(t, s.Kafka, "request-created", "notification")
	require.Len(t, deliveries(s), n)
	s.readiness(http.StatusOK, "")
	s.Kill()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		require.NoError(t, os.Remove(filepath.Join(data, "read-model.db"+suffix)))
	}

	s = serve(t, data)
	s.readiness(http.StatusServiceUnavailable, "the read model is behind the group's commits: run `sipeat rebuild`")
	said := s.fleet().Run("doctor")
	assert.Equal(t, 1, said.Status)
	assert.Contains(t, said.Stdout, "the read model is behind the group's commits")
	refused := Run(t, "", "rebuild", "--data", data)
	assert.Equal(t, 1, refused.Status)
	assert.Contains(t, refused.Stderr, "in use by another process")
	s.Stop(syscall.SIGTERM)
	assert.Empty(t, deliveries(s))

	killed := Start(t, command(t, "rebuild", "--data", data))
	Until(t, func() error {
		_, err := os.Stat(filepath.Join(data, "read-model.db.new"))
		return ErrorUnless(err == nil || !killed.Running(), "no new read model yet")
	})
	killed.Kill()
	done := Run(t, "", "rebuild", "--data", data)
	require.Zero(t, done.Status, done.Stderr)
	assert.Contains(t, done.Stdout, fmt.Sprintf("from %d events", 2*n))
	assert.Contains(t, done.Stdout, "Start `sipeat serve` again")
	assert.NoFileExists(t, filepath.Join(data, "read-model.db.new"))

	s = serve(t, data)
	Handled(t, s.Kafka, "request-created")
	s.readiness(http.StatusOK, "")
	listed, demanded := s.counts()
	assert.Equal(t, [2]int{n, n}, [2]int{listed, demanded})
	s.Stop(syscall.SIGTERM)
	assert.Empty(t, deliveries(s))

	broker := embedded(t, data)
	c := client(t, broker.Address())
	admin := kadm.NewClient(c)
	for topic, group := range Groups {
		offsets := kadm.Offsets{}
		for partition := range committed(t, c, group, topic) {
			offsets.AddOffset(topic, partition, 0, -1)
		}
		if len(offsets) > 0 {
			require.NoError(t, admin.CommitAllOffsets(Within(t), group, offsets))
		}
	}
	require.NoError(t, broker.Close())
	s = serve(t, data)
	Handled(t, s.Kafka, "request-created", "notification")
	listed, demanded = s.counts()
	assert.Equal(t, [2]int{n, n}, [2]int{listed, demanded})
	assert.Empty(t, deliveries(s))
	s.readiness(http.StatusOK, "")
}

// Another read model is built and followed while events arrive.
func TestRebuildBesideTraffic(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	require.Zero(t, s.publish("request-created", requests(1, 100)).Status)
	other := filepath.Join(s.Data, "other.db")
	rebuild := func(arguments ...string) *Process {
		return Start(t, s.fleet().command(append([]string{"rebuild", "--store", other}, arguments...)...))
	}
	following := rebuild()
	following.Says(following.Stdout, "Following new events")
	assert.Contains(t, following.Stdout.String(), "STORE="+other+" and CLAIMS_FILE="+filepath.Join(s.Data, "claims.db"))
	require.Zero(t, s.publish("request-created", requests(101, 200)).Status)
	Handled(t, s.Kafka, "request-created")
	model, err := sqlite.Open(t.Context(), other)
	require.NoError(t, err)
	c := client(t, s.Kafka)
	Until(t, func() error {
		marks, err := model.Marks(t.Context())
		for partition, offset := range committed(t, c, Groups["request-created"], "request-created") {
			if held := marks["request-created"][partition].Held; held < offset {
				err = errors.Join(err, fmt.Errorf("%d of %d", held, offset))
			}
		}
		return err
	})
	require.NoError(t, model.Close())
	type models struct {
		Models []struct {
			Name, Problem string
			InUse         bool
			Held, All     int64
		}
	}
	Until(t, func() error { // the console sees how far another process is
		view := Call(t, "GET", s.URL+"/console/rebuild", "", asJSON).Body
		for _, m := range Decoded[models](t, view).Models {
			if m.Held != 400 || m.All != 400 || m.Problem != "" || m.InUse == (m.Name == other) {
				return errors.New(view)
			}
		}
		return ErrorUnless(strings.Count(view, `"inUse"`) == 2, view) // not the claims
	})
	type differences struct {
		InUse       string
		Count       int
		Differences []string
	}
	compared := func(name string) Answer {
		return Call(t, "GET", s.URL+"/console/rebuild/differences?model="+url.QueryEscape(name), "", asJSON)
	}
	live := filepath.Join(s.Data, "read-model.db")
	assert.Equal(t, differences{live, 0, []string{}}, Decoded[differences](t, compared(other).Body))
	assert.Equal(t, http.StatusNotFound, compared(live).Status, "the one in use")
	assert.Equal(t, http.StatusNotFound, compared(filepath.Join(s.Data, "claims.db")).Status)
	following.Stop(os.Interrupt)
	require.Zero(t, s.publish("request-created", requests(201, 201)).Status)
	Handled(t, s.Kafka, "request-created")
	found := Decoded[differences](t, compared(other).Body)
	assert.Positive(t, found.Count)
	assert.Contains(t, strings.Join(found.Differences, "\n"), "is in "+live+" only")
	require.Zero(t, rebuild("--once").Wait())

	same := rebuild("--compare", live)
	require.Zero(t, same.Wait(), same.Stderr)
	assert.Contains(t, same.Stdout.String(), "It holds the same as "+live)
	all, err := kadm.NewClient(c).ListGroups(Within(t))
	require.NoError(t, err)
	assert.Len(t, all.Groups(), len(Groups), "a rebuild joins no group")

	s.Stop(syscall.SIGTERM)
	broker := embedded(t, s.Data)
	s.Kafka = broker.Address()
	require.NoError(t, sqlite.Remove(live))
	require.NoError(t, os.WriteFile(live, nil, 0o600)) // an empty read model
	differs := rebuild("--once", "--compare", live)
	assert.Equal(t, 1, differs.Wait())
	assert.Contains(t, differs.Stdout.String(), "is in "+other+" only")
	assert.Contains(t, differs.Stdout.String(), `demand for "cola" in "berlin", "de" is in `+other+" only")
}
