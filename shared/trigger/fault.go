package trigger

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// PayloadError says why a payload cannot be read, and where. It quotes none of the payload's content but names of topics.
type PayloadError struct {
	Offset  int    // the byte at which reading ended
	Pointer string // a JSON pointer (RFC 6901) to what could not be read; "" = the whole payload
	Reason  string
}

func (e *PayloadError) Error() string {
	where := fmt.Sprintf("byte %d", e.Offset)
	if e.Pointer != "" {
		where += ", " + e.Pointer
	}
	return fmt.Sprintf("the payload cannot be read as a batch of Kafka records (%s): %s; nothing of it was handled", where, e.Reason)
}

// place is where in the payload the scanner is.
type place struct {
	member string // of the payload
	list   []byte // of records: the member's name, as it stands there
	record int    // in the list; -1 = in none
	field  string // of the record
	header int    // in the field headers; -1 = in none
}

func (p place) pointer() string {
	if p.member == "" {
		return ""
	}
	pointer := "/" + p.member
	if p.list == nil {
		return pointer
	}
	name := strings.ToValidUTF8(string(p.list), "\uFFFD")
	const longest = 249 // that a topic's name may be
	if len(name) > longest+len("-2147483647") {
		name = "…"
	}
	pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	if p.record < 0 {
		return pointer
	}
	pointer += "/" + strconv.Itoa(p.record)
	if p.field == "" {
		return pointer
	}
	pointer += "/" + p.field
	if p.header >= 0 {
		pointer += "/" + strconv.Itoa(p.header)
	}
	return pointer
}

func (s *scanner) fault(format string, args ...any) error {
	return &PayloadError{Offset: s.pos, Pointer: s.at.pointer(), Reason: fmt.Sprintf(format, args...)}
}

// unexpected is the fault that something else was wanted here.
func (s *scanner) unexpected(wanted string) error {
	if s.pos >= len(s.src) {
		s.pos = len(s.src)
		return s.fault("it ends in the middle, where %s must stand", wanted)
	}
	return s.fault("%s must stand here, not %s", wanted, kinds[s.src[s.pos]])
}

// kinds names what begins with a character.
var kinds = func() (k [256]string) {
	for c := range k {
		k[c] = "this"
	}
	for c, name := range map[rune]string{
		'{': "an object", '[': "a list", '"': "text", 't': "true", 'f': "false", 'n': "null", ',': "a comma", ':': "a colon",
		'}': "the end of an object", ']': "the end of a list",
	} {
		k[c] = name
	}
	for _, c := range "-0123456789" {
		k[c] = "a number"
	}
	return k
}()

// foreign says what a payload looks like that is none of Kafka's.
func foreign(payload []byte) string {
	var top map[string]json.RawMessage
	if json.Unmarshal(payload, &top) != nil {
		return "it is no JSON object; a list is what EventBridge Pipes sends"
	}
	has := func(names ...string) bool {
		for _, name := range names {
			if _, ok := top[name]; !ok {
				return false
			}
		}
		return true
	}
	switch {
	case has("Records"):
		return "it looks like an event of " + recordsOf(top["Records"])
	case has("requestContext"):
		return "it looks like a request from API Gateway, a function URL or a load balancer"
	case has("detail-type"):
		return "it looks like an event from EventBridge"
	case has("invocationId", "records"):
		return "it looks like a batch from Data Firehose"
	}
	return "it looks like none of the events we know"
}

// recordsOf names the service that sends a list of Records.
func recordsOf(list json.RawMessage) string {
	var records []struct {
		EventSource string `json:"eventSource"` // of SNS EventSource, which encoding/json takes for the same
	}
	if json.Unmarshal(list, &records) == nil && len(records) > 0 {
		for source, name := range map[string]string{
			"aws:sqs": "SQS", "aws:sns": "SNS", "aws:kinesis": "Kinesis", "aws:dynamodb": "DynamoDB Streams", "aws:s3": "S3", "aws:ses": "SES",
		} {
			if records[0].EventSource == source {
				return name
			}
		}
	}
	return "another service of AWS"
}
