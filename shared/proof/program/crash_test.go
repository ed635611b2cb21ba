package program

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sipeat/sipeat/shared/store"
	"github.com/sipeat/sipeat/shared/store/sqlite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKilledServeLosesNothing kills the process again and again while clients post, and starts it again on what is left.
func TestKilledServeLosesNothing(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	k := &killing{t: t, data: t.TempDir(), told: map[string]int{}, done: map[string]bool{}, offsets: map[string]map[int32]int64{}}
	for round := range 4 {
		s := serve(t, k.data)
		k.offsetsStand(s)
		if round == 0 {
			k.poison(s)
		}
		k.post(s, 30+chance.IntN(120))
		k.ended(s)
	}
	s := serve(t, k.data)
	k.offsetsStand(s)
	for topic, group := range Groups {
		if topic != "notification" { // some of those wait for the lease of a process that was killed
			Handled(t, s.Kafka, group, topic)
		}
	}
	k.topicsHoldAll(s)
	k.peopleAreTold(s)
	k.thingsAreReadable(s)
	k.demandIsRight(s)
	s.Kill()
	k.tellings(s)
}

// killing is what has to be true after all the kills.
type killing struct {
	t        *testing.T
	data     string
	answered []Accepted                  // what was answered 202
	told     map[string]int              // how often people were told of a notification
	done     map[string]bool             // notifications that were marked as delivered before a kill
	offsets  map[string]map[int32]int64  // what groups had committed before a kill, at least
	topics   map[string][]map[string]any // in the end: the events of each topic, by first of their id
}

// poison puts a record on each topic that nobody understands. It becomes one dead letter each time it is delivered: a
// group that began anew instead of going on would write a second.
func (k *killing) poison(s *Serving) {
	c := client(k.t, s.Kafka)
	for topic := range Groups {
		require.NoError(k.t, c.ProduceSync(Within(k.t), &kgo.Record{Topic: topic, Value: []byte("poison")}).FirstErr())
	}
	for topic, group := range Groups {
		Handled(k.t, s.Kafka, group, topic)
	}
}

// post posts from several clients until so many were accepted and the process is killed in the middle of the rest.
func (k *killing) post(s *Serving, enough int) {
	var mu sync.Mutex
	var clients sync.WaitGroup
	before, n := len(k.answered), 0
	for range 8 {
		clients.Go(func() {
			for s.Running() {
				mu.Lock()
				n++
				e := endpoints[n%len(endpoints)]
				body := with(k.t, e.body, map[string]any{"message": fmt.Sprint("number ", n)})
				switch e.path {
				case "/notifications": // of one subject they are told in turn, so all would wait for one lease
					body = with(k.t, body, map[string]any{"subjectId": fmt.Sprint("c-", n)})
				case "/machines":
					body = with(k.t, e.body, map[string]any{"name": fmt.Sprint("Hall ", n)})
				case "/requests":
					body = with(k.t, e.body, map[string]any{"drinksList": []string{"Mate", fmt.Sprint("Cola ", n%7)}})
				}
				mu.Unlock()
				a, err := Try("POST", s.URL+e.path, body)
				if err != nil || a.Status != http.StatusAccepted {
					continue // it was killed: nothing was promised
				}
				got := Decoded[Accepted](k.t, a.Body)
				mu.Lock()
				k.answered = append(k.answered, got)
				if len(k.answered) == before+enough {
					for topic, group := range Groups {
						k.offsets[group] = committed(k.t, s.Kafka, group, topic)
					}
					s.Cmd.Process.Kill()
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	s.Wait()
	k.t.Logf("killed after %d were accepted", len(k.answered)-before)
}

var toldLine = regexp.MustCompile(`"msg":"notification".*"notification_id":"([^"]+)"`)

// tellings counts in what a run has written how often it told each notification.
func tellings(s *Serving) map[string]int {
	times := map[string]int{}
	for _, match := range toldLine.FindAllStringSubmatch(s.Stderr.String(), -1) {
		times[match[1]]++
	}
	return times
}

// tellings checks those of a run that has ended.
func (k *killing) tellings(s *Serving) map[string]int {
	in := tellings(s)
	for id, times := range in {
		assert.Equal(k.t, 1, times, "one run told notification %s more than once", id)
		assert.False(k.t, k.done[id], "notification %s was told again after it had been marked as delivered", id)
		k.told[id] += times
	}
	return in
}

// ended takes down after a kill what was told, and what of it was marked: that must not be told again.
func (k *killing) ended(s *Serving) {
	claims, err := sqlite.OpenClaims(k.t.Context(), filepath.Join(k.data, "claims.db"))
	require.NoError(k.t, err)
	defer claims.Close()
	for id := range k.tellings(s) {
		claim, _, err := claims.Claim(k.t.Context(), id, "log", time.Millisecond)
		require.NoError(k.t, err)
		require.NotEqual(k.t, store.Claimed, claim, "notification %s was told without a claim", id)
		k.done[id] = claim == store.Done
	}
}

// offsetsStand: groups go on where they were.
func (k *killing) offsetsStand(s *Serving) {
	for topic, group := range Groups {
		now := committed(k.t, s.Kafka, group, topic)
		for partition, before := range k.offsets[group] {
			assert.GreaterOrEqual(k.t, now[partition], before, "%s went back in %s/%d", group, topic, partition)
		}
	}
}

// topicsHoldAll: each event that was answered 202 stands at its position, and nowhere else.
func (k *killing) topicsHoldAll(s *Serving) {
	k.topics = map[string][]map[string]any{}
	at := map[string][]Accepted{}
	for topic := range Groups {
		for _, r := range Records(k.t, s.Kafka, topic) {
			var e map[string]any
			if json.Unmarshal(r.Value, &e) != nil {
				continue // the poison
			}
			id := e["eventId"].(string)
			if at[id] = append(at[id], Accepted{EventID: id, Topic: topic, Partition: r.Partition, Offset: r.Offset}); len(at[id]) == 1 {
				k.topics[topic] = append(k.topics[topic], e)
			}
		}
		assert.Len(k.t, Records(k.t, s.Kafka, topic+".dead-letters"), 1, "%s was delivered anew, or events were rejected", topic)
	}
	for _, a := range k.answered {
		a.ID = ""
		assert.Equal(k.t, []Accepted{a}, at[a.EventID])
	}
}

// thingsAreReadable: all that was answered, and one notification about each contact, machine and request.
func (k *killing) thingsAreReadable(s *Serving) {
	announced := map[string]int{} // "contact c-1" -> how many rows
	for _, e := range endpoints {
		items := s.Pages(e.path, "", 100)
		rows := map[string]Thing{}
		for _, item := range items {
			rows[item["id"].(string)] = item
			if e.topic == "notification" && !strings.HasPrefix(item["message"].(string), "number ") {
				announced[fmt.Sprint(item["type"], " ", item["subjectId"])]++
			}
		}
		assert.Len(k.t, rows, len(items), "%s lists a row twice", e.path)
		assert.Len(k.t, items, len(k.topics[e.topic]), "%s has a row per event", e.path)
		for _, a := range k.answered {
			if a.Topic == e.topic {
				assert.Equal(k.t, a.EventID, rows[a.ID]["eventId"])
			}
		}
	}
	want := map[string]int{}
	for topic, of := range map[string]string{"contact-created": "contact", "machine-created": "machine",
		"request-created": "request"} {
		for _, e := range k.topics[topic] {
			want[fmt.Sprint(of, " ", e["data"].(map[string]any)["id"])] = 1
		}
	}
	assert.Equal(k.t, want, announced)
	last := k.answered[len(k.answered)-1]
	path := "/" + strings.TrimSuffix(cmp.Or(strings.TrimSuffix(last.Topic, "-created"), last.Topic), "s") + "s"
	assert.Equal(k.t, last.EventID, s.Readable(path, last.ID)["eventId"])
}

// demandIsRight: each request counts once for each of its drinks.
func (k *killing) demandIsRight(s *Serving) {
	want, got := map[string]float64{}, map[string]float64{}
	for _, e := range k.topics["request-created"] {
		for _, drink := range e["data"].(map[string]any)["drinksList"].([]any) {
			want[drink.(string)]++
		}
	}
	for _, d := range s.Pages("/demand", "country=UK&", 3) {
		got[d["drink"].(string)] = d["count"].(float64)
	}
	assert.Equal(k.t, want, got)
}

// peopleAreTold: of every notification, or a process that was killed has left a claim on it, whose lease must end first.
func (k *killing) peopleAreTold(s *Serving) {
	claims, err := sqlite.OpenClaims(k.t.Context(), filepath.Join(k.data, "claims.db"))
	require.NoError(k.t, err)
	defer claims.Close()
	Until(k.t, func() error {
		left := 0
		now := tellings(s)
		for _, e := range k.topics["notification"] {
			id := e["data"].(map[string]any)["id"].(string)
			if k.told[id]+now[id] > 0 {
				continue
			}
			left++
			switch claim, _, err := claims.Claim(k.t.Context(), id, "log", time.Millisecond); {
			case err != nil:
				return err
			case claim != store.Held:
				if err := claims.Release(k.t.Context(), id, "log"); err != nil { // or it is held the next time
					return err
				}
				return fmt.Errorf("nobody was told of notification %s, and nobody is about to: %v", id, claim)
			}
		}
		k.t.Logf("%d are still to be told, when leases end", left)
		return nil
	})
}
