package local

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// forgetDeletedGroups notes in groups.log what a deleted group had committed.
// kfake drops the group from memory only: after a kill its commits are back,
// and whoever deleted it to read from the beginning would skip what they cover.
func forgetDeletedGroups(cluster *kfake.Cluster, dir string) {
	cluster.ControlKey(int16(kmsg.DeleteGroups), func(req kmsg.Request) (kmsg.Response, error, bool) {
		for _, name := range req.(*kmsg.DeleteGroupsRequest).Groups {
			group := cluster.GroupInfo(name)
			if group == nil || len(group.Members) > 0 {
				continue // kfake refuses it
			}
			if err := forgetCommits(dir, group); err != nil {
				cluster.KeepControl()
				return nil, fmt.Errorf("local broker: delete group %s: %w", name, err), true
			}
		}
		return nil, nil, false
	})
}

func forgetCommits(dir string, group *kfake.GroupInfo) error {
	var entries []byte
	for topic, parts := range group.Commits {
		for id := range parts {
			raw, err := json.Marshal(groupEntry{Type: "delete", Group: group.Group, Topic: topic, Part: id})
			if err != nil {
				return err
			}
			entries = appendStateEntry(entries, raw)
		}
	}
	if len(entries) == 0 {
		return nil
	}
	return writeSynced(filepath.Join(dir, "groups.log"), os.O_APPEND, entries)
}

// appendStateEntry frames one entry of a state log, version 1.
func appendStateEntry(to, data []byte) []byte {
	body := bytes.Join([][]byte{{1, 0}, data}, nil)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(body)))
	to = binary.LittleEndian.AppendUint32(to, crc32.Checksum(body, castagnoli))
	return append(to, body...)
}
