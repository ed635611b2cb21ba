package trigger

import (
	"encoding/base64"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sipeat/sipeat/shared/bus"
)

// Encode is the batch as AWS writes it: the same members in the same order, without white space, a list per partition in
// the order of their first records, header bytes as Java's signed ones. What is nil or zero is left out.
func (b Batch) Encode() []byte {
	dst := appendMember([]byte("{"), "eventSource", b.Source)
	if b.SourceARN != "" {
		dst = appendMember(append(dst, ','), "eventSourceArn", b.SourceARN)
	}
	dst = appendMember(append(dst, ','), "bootstrapServers", b.BootstrapServers)
	dst = append(dst, `,"records":{`...)
	type list struct {
		topic     string
		partition int32
	}
	var order []list
	lists := map[list][]*bus.Record{}
	for i := range b.Records {
		r := &b.Records[i]
		l := list{r.Topic, r.Partition}
		if lists[l] == nil {
			order = append(order, l)
		}
		lists[l] = append(lists[l], r)
	}
	for i, l := range order {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, listName(l.topic, l.partition)), ":["...)
		for i, r := range lists[l] {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendRecord(dst, r)
		}
		dst = append(dst, ']')
	}
	return append(dst, "}}"...)
}

// listName is how AWS names a partition, in payloads and in answers.
func listName(topic string, partition int32) string {
	return topic + "-" + strconv.Itoa(int(partition))
}

func appendRecord(dst []byte, r *bus.Record) []byte {
	dst = appendMember(append(dst, '{'), "topic", r.Topic)
	dst = strconv.AppendInt(append(dst, `,"partition":`...), int64(r.Partition), 10)
	dst = strconv.AppendInt(append(dst, `,"offset":`...), r.Offset, 10)
	if !r.Timestamp.IsZero() {
		dst = strconv.AppendInt(append(dst, `,"timestamp":`...), r.Timestamp.UnixMilli(), 10)
		dst = append(dst, `,"timestampType":"CREATE_TIME"`...)
	}
	if r.Key != nil {
		dst = append(base64.StdEncoding.AppendEncode(append(dst, `,"key":"`...), r.Key), '"')
	}
	if r.Value != nil {
		dst = append(base64.StdEncoding.AppendEncode(append(dst, `,"value":"`...), r.Value), '"')
	}
	dst = append(dst, `,"headers":[`...)
	for i, h := range r.Headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(append(dst, '{'), h.Key), ':')
		dst = append(appendNumbers(dst, h.Value), '}')
	}
	return append(dst, "]}"...)
}

func appendNumbers(dst, value []byte) []byte {
	if value == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '[')
	for i, b := range value {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, int64(int8(b)), 10)
	}
	return append(dst, ']')
}

func appendMember(dst []byte, name, value string) []byte {
	return appendText(append(appendText(dst, name), ':'), value)
}

func appendText(dst []byte, text string) []byte {
	dst, _ = jsontext.AppendQuote(dst, text) // its error says that what is not UTF-8 was replaced
	return dst
}
