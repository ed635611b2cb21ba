package proof

import (
	"errors"
	"fmt"
	"net/http"
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
		fmt.Fprintf(&b, `{"name":"Ada","email":"a@b.co","phone":"+44 20 7946 0958","address":"Street 1","city":"Berlin","country":"DE","drinksList":["Cola","Tea %d"]}`+"\n", n%7)
	}
	return b.String()
}

// counts returns how many requests there are, by the lists and by the demand.
func (s *serving) counts() (listed, demanded int) {
	for _, d := range s.pages("/demand", "", 100) {
		if d["drink"] == "Cola" {
			demanded = int(d["count"].(float64))
		}
	}
	return len(s.pages("/requests", "", 100)), demanded
}

func (s *serving) readiness(status int, text string) {
	s.t.Helper()
	until(s.t, func() error {
		a, err := try("GET", s.url+"/readyz", "")
		if err == nil && (a.status != status || !strings.Contains(a.body, text)) {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
}

// A read model that is deleted is noticed and can be rebuilt, and no notification is delivered again: not after that, nor when the
// groups' offsets are reset.
func TestADeletedReadModelIsRebuilt(t *testing.T) {
	t.Parallel()
	const n = 300
	data := t.TempDir()
	s := serve(t, data)
	require.Zero(t, s.publish("request-created", requests(1, n)).status)
	handled(t, s.kafka, groups["request-created"], "request-created")
	handled(t, s.kafka, groups["notification"], "notification")
	require.Len(t, tellings(s), n)
	s.readiness(http.StatusOK, "")
	s.kill()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		require.NoError(t, os.Remove(filepath.Join(data, "read-model.db"+suffix)))
	}

	s = serve(t, data)
	s.readiness(http.StatusServiceUnavailable, "the read model is behind the group's commits: run `sipeat rebuild`")
	doctor := command(t, "doctor")
	doctor.Env = append(doctor.Env, "KAFKA_BROKERS="+s.kafka, "STORE="+filepath.Join(data, "read-model.db"))
	said := finish(t, doctor, "")
	assert.Equal(t, 1, said.status)
	assert.Contains(t, said.stdout, "the read model is behind the group's commits")
	refused := run(t, "", "rebuild", "--data", data)
	assert.Equal(t, 1, refused.status)
	assert.Contains(t, refused.stderr, "in use by another process")
	s.signal(syscall.SIGTERM)
	require.Zero(t, s.wait())
	assert.Empty(t, tellings(s))

	killed := start(t, command(t, "rebuild", "--data", data)) // anywhere
	until(t, func() error {
		if _, err := os.Stat(filepath.Join(data, "read-model.db.new")); err != nil && killed.running() {
			return err
		}
		return nil
	})
	killed.kill()
	done := run(t, "", "rebuild", "--data", data)
	require.Zero(t, done.status, done.stderr)
	assert.Contains(t, done.stdout, fmt.Sprintf("from %d events", 2*n))
	assert.Contains(t, done.stdout, "Start `sipeat serve` again")
	assert.NoFileExists(t, filepath.Join(data, "read-model.db.new"))

	s = serve(t, data)
	handled(t, s.kafka, groups["request-created"], "request-created")
	s.readiness(http.StatusOK, "")
	listed, demanded := s.counts()
	assert.Equal(t, [2]int{n, n}, [2]int{listed, demanded})
	s.signal(syscall.SIGTERM)
	require.Zero(t, s.wait())
	assert.Empty(t, tellings(s))

	broker := embedded(t, data)
	admin := kadm.NewClient(client(t, broker.Address()))
	for topic, group := range groups {
		offsets := kadm.Offsets{}
		for partition := range committed(t, broker.Address(), group, topic) {
			offsets.AddOffset(topic, partition, 0, -1)
		}
		if len(offsets) > 0 {
			require.NoError(t, admin.CommitAllOffsets(within(t), group, offsets))
		}
	}
	require.NoError(t, broker.Close())
	s = serve(t, data)
	handled(t, s.kafka, groups["request-created"], "request-created")
	handled(t, s.kafka, groups["notification"], "notification")
	listed, demanded = s.counts()
	assert.Equal(t, [2]int{n, n}, [2]int{listed, demanded})
	assert.Empty(t, tellings(s))
	s.readiness(http.StatusOK, "")
}

// A read model of an older version is refused in plain words, and rebuilt.
func TestAnOlderReadModelIsRefusedAndRebuilt(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	id := s.post("/contacts", aContact).ID
	s.readable("/contacts", id)
	s.signal(syscall.SIGTERM)
	require.Zero(t, s.wait())
	model := filepath.Join(data, "read-model.db")
	content, err := os.ReadFile(model)
	require.NoError(t, err)
	copy(content[60:], []byte{0, 0, 0, 1}) // PRAGMA user_version (https://www.sqlite.org/fileformat.html)
	require.NoError(t, os.WriteFile(model, content, 0o600))

	refused := run(t, "", "serve", "--http", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--data", data)
	assert.Equal(t, 1, refused.status)
	assert.Contains(t, refused.stderr, "older version")
	assert.Contains(t, refused.stderr, "sipeat rebuild --data "+data)
	require.Zero(t, run(t, "", "rebuild", "--data", data).status)
	s = serve(t, data)
	s.readable("/contacts", id)
}

// Another read model is built while events come in. It is switched to while the rebuild follows.
func TestRebuildBesideTraffic(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir())
	require.Zero(t, s.publish("request-created", requests(1, 200)).status)
	other := filepath.Join(t.TempDir(), "other.db")
	rebuild := func(arguments ...string) *process {
		c := command(t, append([]string{"rebuild", "--store", other}, arguments...)...)
		c.Env = append(c.Env, "KAFKA_BROKERS="+s.kafka, "STORE="+filepath.Join(s.data, "read-model.db"))
		return start(t, c)
	}
	following := rebuild()
	following.says(following.stdout, "Following new events")
	assert.Contains(t, following.stdout.String(), "STORE="+other+" and CLAIMS_FILE="+filepath.Join(s.data, "claims.db"))
	require.Zero(t, s.publish("request-created", requests(201, 400)).status)
	handled(t, s.kafka, groups["request-created"], "request-created")
	model, err := sqlite.Open(t.Context(), other)
	require.NoError(t, err)
	until(t, func() error {
		marks, err := model.Marks(t.Context())
		for partition, offset := range committed(t, s.kafka, groups["request-created"], "request-created") {
			if held := marks["request-created"][partition].Held; held < offset {
				err = errors.Join(err, fmt.Errorf("%d of %d", held, offset))
			}
		}
		return err
	})
	require.NoError(t, model.Close())
	following.signal(os.Interrupt)
	require.Zero(t, following.wait(), following.stderr)

	live := filepath.Join(s.data, "read-model.db")
	same := rebuild("--compare", live)
	require.Zero(t, same.wait(), same.stderr)
	assert.Contains(t, same.stdout.String(), "It holds the same as "+live)
	c := client(t, s.kafka)
	all, err := kadm.NewClient(c).ListGroups(within(t))
	require.NoError(t, err)
	assert.Len(t, all.Groups(), len(groups), "a rebuild joins no group")

	s.signal(syscall.SIGTERM)
	require.Zero(t, s.wait())
	broker := embedded(t, s.data)
	s.kafka = broker.Address()
	require.NoError(t, sqlite.Remove(live))
	differs := rebuild("--once", "--compare", live)
	assert.Equal(t, 1, differs.wait())
	assert.Contains(t, differs.stdout.String(), "is in "+other+" only")
	assert.Contains(t, differs.stdout.String(), `demand for "Cola" in "Berlin", "DE" is 400 and 0`)
	wrong := run(t, "", "rebuild", "--store", other, "--data", s.data)
	assert.Equal(t, 2, wrong.status)
}
