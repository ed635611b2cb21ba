package program

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
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

// TestKilledServeLosesNothing kills the process several times while clients post, and restarts it on the same data.
func TestKilledServeLosesNothing(t *testing.T) {
	t.Parallel()
	k := &killing{t: t, data: t.TempDir(), sent: map[string]int{}, done: map[string]bool{}, offsets: map[string]map[int32]int64{}}
	for round, enough := range []int{40, 130, 80} {
		s := serve(t, k.data)
		k.offsetsStand(s)
		if round == 0 {
			k.poison(s)
		}
		k.post(s, enough)
		k.recordDeliveries(s)
	}
	s := serve(t, k.data)
	k.offsetsStand(s)
	Handled(t, s.Kafka, "contact-created", "machine-created", "request-created") // notifications may wait for a lease
	k.topicsHoldAll(s)
	k.notificationsAreSent(s)
	k.resourcesAreReadable(s)
	s.Kill()
	k.checkDeliveries(s)
}

// killing collects during the kills what must hold after them.
type killing struct {
	t        *testing.T
	data     string
	answered []Accepted                  // the 202 responses
	sent     map[string]int              // deliveries by notification id
	done     map[string]bool             // notifications that were marked as delivered before a kill
	offsets  map[string]map[int32]int64  // lower bounds: the offsets that groups had committed before a kill
	topics   map[string][]map[string]any // the events of each topic at the end, without repeats of an id
}

// poison writes an undecodable record to each topic. It becomes one dead letter per delivery, so a group that starts over
// instead of resuming would write a second one.
func (k *killing) poison(s *Serving) {
	c := client(k.t, s.Kafka)
	for topic := range Groups {
		require.NoError(k.t, c.ProduceSync(Within(k.t), &kgo.Record{Topic: topic, Value: []byte("poison")}).FirstErr())
	}
	Handled(k.t, s.Kafka, everyTopic...)
}

// post posts from several clients, and kills the process in the middle of that when enough events were accepted.
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
				case "/notifications": // those of one subject are sent in order, so all would wait for one lease
					body = with(k.t, body, map[string]any{"subjectId": fmt.Sprint("c-", n)})
				case "/machines":
					body = with(k.t, e.body, map[string]any{"name": fmt.Sprint("Hall ", n)})
				case "/requests":
					body = with(k.t, e.body, map[string]any{"drinksList": []string{"Mate", fmt.Sprint("Cola ", n%7)}})
				}
				mu.Unlock()
				a, err := Try("POST", s.URL+e.path, body)
				if err != nil || a.Status != http.StatusAccepted {
					continue // the process was killed before it accepted the event
				}
				got := Decoded[Accepted](k.t, a.Body)
				mu.Lock()
				k.answered = append(k.answered, got)
				if len(k.answered) == before+enough {
					c := client(k.t, s.Kafka)
					for topic, group := range Groups {
						k.offsets[group] = committed(k.t, c, group, topic)
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

var sentLine = regexp.MustCompile(`"msg":"notification".*"notification_id":"([^"]+)"`)

// deliveries counts the deliveries of each notification in the log of a run.
func deliveries(s *Serving) map[string]int {
	times := map[string]int{}
	for _, match := range sentLine.FindAllStringSubmatch(s.Stderr.String(), -1) {
		times[match[1]]++
	}
	return times
}

// checkDeliveries checks and returns the deliveries of a run that has ended.
func (k *killing) checkDeliveries(s *Serving) map[string]int {
	in := deliveries(s)
	for id, times := range in {
		assert.Equal(k.t, 1, times, "one run sent notification %s more than once", id)
		assert.False(k.t, k.done[id], "notification %s was sent again after it had been marked as delivered", id)
		k.sent[id] += times
	}
	return in
}

// recordDeliveries records after a kill which notifications are marked as delivered: those must not be sent again.
func (k *killing) recordDeliveries(s *Serving) {
	claims, err := sqlite.OpenClaims(k.t.Context(), filepath.Join(k.data, "claims.db"), time.Now)
	require.NoError(k.t, err)
	defer claims.Close()
	for id := range k.checkDeliveries(s) {
		claim, _, err := claims.Claim(k.t.Context(), id, "log", time.Millisecond)
		require.NoError(k.t, err)
		require.NotEqual(k.t, store.Claimed, claim, "notification %s was sent without a claim", id)
		k.done[id] = claim == store.Done
	}
}

// offsetsStand: no group lost a committed offset.
func (k *killing) offsetsStand(s *Serving) {
	c := client(k.t, s.Kafka)
	for topic, group := range Groups {
		now := committed(k.t, c, group, topic)
		for partition, before := range k.offsets[group] {
			assert.GreaterOrEqual(k.t, now[partition], before, "%s went back in %s/%d", group, topic, partition)
		}
	}
}

// topicsHoldAll: each event that was answered 202 is at its position, and nowhere else.
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
		assert.Len(k.t, Records(k.t, s.Kafka, topic+".dead-letters"), 1, "%s was redelivered, or events were rejected", topic)
	}
	for _, a := range k.answered {
		a.ID = ""
		assert.Equal(k.t, []Accepted{a}, at[a.EventID])
	}
}

// resourcesAreReadable: every accepted event is readable, with one notification per contact, machine and request.
func (k *killing) resourcesAreReadable(s *Serving) {
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
	demand := s.Pages("/demand", "country=UK&", 3)
	slices.SortFunc(demand, func(a, b Thing) int { return cmp.Compare(b["count"].(float64), a["count"].(float64)) })
	assert.InDelta(k.t, len(k.topics["request-created"]), demand[0]["count"], 0, "each request counts once for a drink of all")
}

// notificationsAreSent: every notification was sent, or is still leased by a process that was killed.
func (k *killing) notificationsAreSent(s *Serving) {
	claims, err := sqlite.OpenClaims(k.t.Context(), filepath.Join(k.data, "claims.db"), time.Now)
	require.NoError(k.t, err)
	defer claims.Close()
	Until(k.t, func() error {
		left := 0
		now := deliveries(s)
		for _, e := range k.topics["notification"] {
			id := e["data"].(map[string]any)["id"].(string)
			if k.sent[id]+now[id] > 0 {
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
				return fmt.Errorf("notification %s was not sent, and no process holds its lease: %v", id, claim)
			}
		}
		k.t.Logf("%d notifications are waiting for their leases to end", left)
		return nil
	})
}
