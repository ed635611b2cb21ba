package faults

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	clients  = 4
	pause    = 250 * time.Millisecond // of a client between two requests, on average
	giveUp   = 8 * time.Second        // how long a client waits for one request
	subjects = 3                      // of notifications; those of one are sent one after the other
	resends  = 4                      // of a request with an Idempotency-Key that was not accepted
	burst    = 8                      // records that the foreign producer writes in a fault of its kind
	poisonOf = "poison:"              // no event that a reader must understand
	failsOf  = "fails:"               // an event whose handler fails for good
)

// load is a client: it posts requests until ctx ends, each with a body of its own, and keeps the ledger of what it sent and what
// was answered.
func (r *rig) load(ctx context.Context, number int) {
	random := rand.New(rand.NewPCG(uint64(r.seed), uint64(100+number)))
	for n := 1; ctx.Err() == nil; n++ {
		wait(ctx, time.Duration(random.Float64()*2*float64(cmp.Or(r.pause, pause))))
		if ctx.Err() != nil {
			return
		}
		name := fmt.Sprintf("client %d request %d", number, n)
		route, body := r.request(random, name, number, n)
		key := ""
		if random.IntN(2) == 0 {
			key = fmt.Sprintf("key-%d-%d-%d", r.seed, number, n)
		}
		api := random.IntN(len(r.apis))
		patience := giveUp
		if random.IntN(20) == 0 { // a client that does not wait for the answer
			patience = time.Duration(5+random.IntN(20)) * time.Millisecond
		}
		status := r.post(number, r.apis[api], route, key, body, patience)
		for again := 0; key != "" && (status == 0 || status >= 500) && again < resends && ctx.Err() == nil; again++ {
			wait(ctx, 500*time.Millisecond)
			api++
			status = r.post(number, r.apis[api%len(r.apis)], route, key, body, giveUp)
		}
		if key != "" && random.IntN(8) == 0 {
			r.post(number, r.apis[(api+1)%len(r.apis)], route, key, body, giveUp)
		}
	}
}

// request is a random request.
func (r *rig) request(random *rand.Rand, name string, client, n int) (route, body string) {
	person := fmt.Sprintf(`"name":%q,"email":"c%d@example.com","phone":"+49 30 1234567"`, name, client)
	place := fmt.Sprintf(`"address":"Road %d","city":"City %d","country":"Germany"`, n, random.IntN(4))
	switch k := random.IntN(10); {
	case k < 3:
		return "/contacts", fmt.Sprintf(`{%s,"message":"Please call."}`, person)
	case k < 5:
		return "/machines", fmt.Sprintf(`{"name":%q,%s,"contactName":"Konrad Zuse","contactEmail":"k@example.com",`+
			`"contactPhone":"+49 30 7654321"}`, name, place)
	case k < 7:
		return "/requests", fmt.Sprintf(`{%s,%s,"drinksList":["Tea","Drink %d"]}`, person, place, random.IntN(5))
	case k < 8:
		return "/notifications", fmt.Sprintf(`{"type":"contact","message":%q,"recipientEmail":"refused-%d-%d@example.com"}`,
			name, client, n)
	}
	return "/notifications", fmt.Sprintf(`{"type":"contact","message":%q,"subjectId":"subject-%d"}`, name,
		random.IntN(cmp.Or(r.subjects, subjects)))
}

func (r *rig) post(client int, api *part, route, key, body string, patience time.Duration) int {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p := post{when: now(), Client: client, Route: route, Key: key, Body: body}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+api.http+route, strings.NewReader(body))
	if err != nil {
		panic(err) // the address is fixed
	}
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	if answer, err := browser.Do(request); err == nil {
		b, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err == nil {
			_ = json.Unmarshal(b, &p)
			p.Status = answer.StatusCode
		}
	}
	p.End = time.Now().UnixNano()
	r.record(p)
	return p.Status
}

// The foreign producer writes what the TypeScript app writes, records without key, and what must not harm anyone.

// statement is an event as the TypeScript app writes it. Events of others than sipeat-app have a notification derived from them.
func statement(topic, id, text, producer string) []byte {
	at := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	data := fmt.Sprintf(`"name":%q,"email":"f@example.com","phone":"1","message":"Call.","companyName":"Müller KG"`, text)
	switch topic {
	case "machine-created":
		data = fmt.Sprintf(`"name":%q,"address":"Road 1","city":"Bonn","country":"Germany","contactName":"K","contactEmail":`+
			`"k@example.com","contactPhone":"1"`, text)
	case "request-created":
		data = fmt.Sprintf(`"name":%q,"email":"f@example.com","phone":"1","address":"Road 1","city":"Bonn","country":"Germany",`+
			`"drinksList":["Tea"]`, text)
	case "notification":
		data = fmt.Sprintf(`"type":"machine","message":%q,"subjectId":"foreign-%d"`, text, len(text)%3)
	}
	return fmt.Appendf(nil, `{"eventId":"event-%s","eventType":%q,"data":{"id":%q,%s,"timestamp":%q},"metadata":`+
		`{"timestamp":%q,"producer":%q}}`, id, topic, id, data, at, at, producer)
}

// foreign is a number of records of one kind, all in one partition.
func (r *rig) foreign(random *rand.Rand, what string) (all []*kgo.Record) {
	n := r.foreigners.Add(1)
	id := fmt.Sprintf("foreign-%d-%d", r.seed, n)
	topic := topicNames[random.IntN(len(topicNames))]
	value := statement(topic, id, "statement of "+id, []string{"sipeat-app", "another-app"}[random.IntN(2)])
	record := func(key, value []byte) {
		all = append(all, &kgo.Record{Topic: topic, Partition: int32(random.IntN(int(topics[topic]))), Key: key, Value: value})
		all[len(all)-1].Partition = all[0].Partition
	}
	switch what {
	case "foreign:no-key", "aborted":
		record(nil, value)
	case "foreign:invalid-utf8":
		record([]byte(id), bytes.Replace(value, []byte("statement of"), []byte("\xff \xc3( of"), 1))
	case failsOf + "panic": // the instrumented program knows them by their event id
		id = "panic-" + id
		topic = []string{"contact-created", "machine-created", "request-created"}[random.IntN(3)]
		record([]byte(id), statement(topic, id, "statement of "+id, "another-app"))
	case poisonOf + "zip-bomb":
		record(nil, []byte(id+strings.Repeat(" ", 8<<20)))
	case "foreign:same-key":
		for n := range 5 {
			part := fmt.Sprintf("%s-%d", id, n)
			record([]byte(id), statement(topic, part, "statement of "+part, "another-app"))
		}
	case "duplicate":
		record([]byte(id), value)
		record([]byte(id), value)
	case "conflict":
		record([]byte(id), value)
		record([]byte(id), statement(topic, id, "another statement of "+id, "another-app"))
	case poisonOf + "not-json":
		record(nil, []byte(id+" is not JSON"))
	case poisonOf + "empty":
		record([]byte(id), []byte{})
	case poisonOf + "null":
		record([]byte(id), nil)
	case poisonOf + "wrong-type":
		other := topicNames[(1+random.IntN(len(topicNames)-1)+indexOf(topic))%len(topicNames)]
		record(nil, statement(other, id, "statement of "+id, "another-app"))
	case poisonOf + "large":
		record(nil, []byte(strings.Repeat(id+" is too large. ", 900_000/(len(id)+15))))
	case poisonOf + "no-data":
		record(nil, fmt.Appendf(nil, `{"eventId":%q,"eventType":%q}`, id, topic))
	default:
		panic(what)
	}
	return all
}

var foreignKinds = []string{"foreign:no-key", "foreign:same-key", "foreign:invalid-utf8", "duplicate", "conflict",
	poisonOf + "not-json", poisonOf + "empty", poisonOf + "null", poisonOf + "wrong-type", poisonOf + "large",
	poisonOf + "no-data", poisonOf + "zip-bomb"}

// produce writes records and notes them, and where they are if the brokers said so.
func (r *rig) produce(what string, all []*kgo.Record) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), giveUp)
	defer cancel()
	producer := r.producer
	if what == poisonOf+"zip-bomb" {
		compressing, failed := r.kafka(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(16<<20),
			kgo.ProducerBatchCompression(kgo.GzipCompression()))
		if failed != nil {
			panic(failed) // the options are fixed
		}
		defer compressing.Close()
		producer = compressing
	}
	begin := now()
	for _, result := range producer.ProduceSync(ctx, all...) {
		r.noteProduced(begin, what, result.Record, result.Err)
		err = errors.Join(err, result.Err)
	}
	return err
}

// noted is a value as the history has it: the hash of one that is too large for it.
func noted(value []byte) []byte {
	if len(value) > 2<<20 {
		value = fmt.Appendf(nil, "SHA-256 %x", sha256.Sum256(value))
	}
	return value
}

func (r *rig) noteProduced(begin when, what string, record *kgo.Record, err error) {
	p := produced{when: when{begin.T, time.Now().UnixNano()}, What: what,
		position: position{record.Topic, record.Partition, record.Offset},
		Key:      record.Key, Value: noted(record.Value)}
	if err != nil {
		p.Offset = -1
	}
	r.record(p)
}

// abort writes records in a transaction and takes it back.
func (r *rig) abort(random *rand.Rand) error {
	client, err := r.kafka(kgo.TransactionalID(fmt.Sprintf("foreign-%d", random.Uint32())),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	ctx, cancel := context.WithTimeout(context.Background(), giveUp)
	defer cancel()
	if err := client.BeginTransaction(); err != nil {
		return err
	}
	for range 3 {
		begin := now()
		for _, result := range client.ProduceSync(ctx, r.foreign(random, "aborted")...) {
			r.noteProduced(begin, "aborted:no-key", result.Record, result.Err)
		}
	}
	return errors.Join(client.AbortBufferedRecords(ctx), client.EndTransaction(ctx, kgo.TryAbort))
}

// foreignProducer writes a record now and then.
func (r *rig) foreignProducer(ctx context.Context) {
	random := rand.New(rand.NewPCG(uint64(r.seed), 50))
	for ctx.Err() == nil {
		wait(ctx, time.Duration(random.Float64()*float64(time.Second)))
		what := foreignKinds[random.IntN(len(foreignKinds))]
		_ = r.produce(what, r.foreign(random, what)) // the history has it
	}
}

func indexOf(topic string) int {
	for i, name := range topicNames {
		if name == topic {
			return i
		}
	}
	return -1
}
