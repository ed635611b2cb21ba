//go:build amd64 || arm64

// Package disk finds out what a power cut would leave of a folder: it runs a program, carries out the program's system calls on
// the folder itself, and keeps beside the folder's content what has been synced of it. The program is the one that users run; how
// it syncs makes no difference. Disks that are full are simulated as well.
//
// What counts as synced is what POSIX promises, and no file system's habits: fsync, fdatasync and O_DSYNC make the bytes of a
// file durable that were written before the sync began; an entry of a directory (a new file, a rename, a removal) is durable once
// the directory is synced. sync_file_range promises nothing, and counts as nothing.
//
// Not simulated: permissions, bytes that are written through a mapping (of SQLite's -shm, which means nothing after a restart),
// and what the program does not use: writes in several pieces, syncfs and sync. [Disk.Err] names such a call.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Event is a call of the program on the folder.
type Event struct {
	Op   string // "create", "mkdir", "write", "truncate", "rename", "remove", "sync", and "synced" before a sync returns
	Path string // relative to the folder; of a rename the new one
}

// Disk is a folder on a disk that can fail. Its programs run one after the other.
type Disk struct {
	Root string // absolute, without symbolic links

	// Observe is called before each call is carried out, and when a sync is complete but has not returned. It returns true to kill
	// the program at that moment. It must not call methods of the disk.
	Observe func(Event) (kill bool)
	// SyncTime is how long the next sync takes.
	SyncTime func() time.Duration
	// Lies returns true for the paths, as in events, whose syncs the disk confirms without doing them.
	Lies func(path string) bool

	mu       sync.Mutex
	nodes    map[identity]*node
	top      *node
	off      bool  // no call is carried out any more
	capacity int64 // bytes; 0 = unlimited
	faults   []string
	counts   map[string]int // calls by Op
}

// identity is a file's device and inode.
type identity struct{ device, inode uint64 }

// node is a file or a folder.
type node struct {
	path string // where it was created or found

	// A folder.
	entries, kept map[string]*node
	links         []link // not synced

	// A file.
	size    int64
	durable []byte
	writes  []write // not synced

	done int // how many links or writes were synced before these
}

// link puts a node under a name, or removes the name (nil), and removes another name in the same step ("" = none).
type link struct {
	name, old string
	node      *node
}

// write puts data at an offset, or, without data, sets the size.
type write struct {
	at   int64
	data []byte
}

// Open takes the present content of a folder as what is on the disk.
func Open(root string) (*Disk, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, err
	}
	d := &Disk{Root: root, nodes: map[identity]*node{}, counts: map[string]int{}}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		n := d.newNode(path, entry.IsDir())
		if path == root {
			d.top = n
		} else {
			parent, name := d.parent(path)
			parent.entries[name], parent.kept[name] = n, n
		}
		if !entry.IsDir() {
			if n.durable, err = os.ReadFile(path); err != nil {
				return err
			}
			n.size = int64(len(n.durable))
		}
		return d.identify(n, path)
	})
	return d, err
}

func (d *Disk) newNode(path string, folder bool) *node {
	n := &node{path: path}
	if folder {
		n.entries, n.kept = map[string]*node{}, map[string]*node{}
	}
	return n
}

// relative is a path as events have it, "" outside the folder.
func (d *Disk) relative(path string) string {
	if rel, err := filepath.Rel(d.Root, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return ""
}

// find returns what is at a path, nil if nothing is.
func (d *Disk) find(path string) *node {
	n := d.top
	switch rel := d.relative(path); rel {
	case "":
		return nil
	case ".":
	default:
		for name := range strings.SplitSeq(rel, string(filepath.Separator)) {
			if n == nil {
				return nil
			}
			n = n.entries[name]
		}
	}
	return n
}

func (d *Disk) parent(path string) (folder *node, name string) {
	return d.find(filepath.Dir(path)), filepath.Base(path)
}

// fault notes a call that the simulation does not have; it makes [Disk.Err] fail.
func (d *Disk) fault(format string, values ...any) {
	if text := fmt.Sprintf(format, values...); len(d.faults) < 20 && !slices.Contains(d.faults, text) {
		d.faults = append(d.faults, text)
	}
}

// Err names the calls that the simulation does not have: its images may be wrong after them.
func (d *Disk) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.faults) == 0 {
		return nil
	}
	return errors.New("not simulated: " + strings.Join(d.faults, "; "))
}

// Counts returns how many calls there were, by [Event.Op].
func (d *Disk) Counts() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.counts)
}

// SetFree makes the disk one with this many bytes free; negative is unlimited.
func (d *Disk) SetFree(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = 0
	if bytes >= 0 {
		d.capacity = d.used() + bytes + 1 // 0 is unlimited
	}
}

func (d *Disk) used() (bytes int64) {
	counted := map[*node]bool{}
	for _, n := range d.nodes {
		if !counted[n] && d.find(n.path) == n {
			counted[n] = true
			bytes += n.size
		}
	}
	return bytes
}

// room returns how many of n bytes at an offset of a file the disk takes.
func (d *Disk) room(f *node, at, n int64) int64 {
	grow := max(0, at+n-f.size)
	if d.capacity == 0 || grow == 0 {
		return n
	}
	return max(0, n-max(0, grow-(d.capacity-1-d.used())))
}

// observe counts an event, and returns true if the program is to be killed at it.
func (d *Disk) observe(op, path string) bool {
	d.counts[op]++
	return d.Observe != nil && d.Observe(Event{op, d.relative(path)})
}

func (d *Disk) link(folder *node, l link) {
	if l.old != "" {
		delete(folder.entries, l.old)
	}
	if l.node == nil {
		delete(folder.entries, l.name)
	} else {
		folder.entries[l.name] = l.node
	}
	folder.links = append(folder.links, l)
}

func (n *node) write(w write) {
	if w.data == nil {
		n.size = w.at
	} else {
		n.size = max(n.size, w.at+int64(len(w.data)))
	}
	n.writes = append(n.writes, w)
}

// pending is the number of the last change of a node, to be given to settle when a sync of it that begins now is complete.
func (n *node) pending() int { return n.done + len(n.links) + len(n.writes) }

func (n *node) settle(until int) {
	k := until - n.done
	if k <= 0 {
		return
	}
	n.done = until
	if n.kept != nil {
		n.kept = linked(n.kept, n.links[:k])
		n.links = slices.Clone(n.links[k:])
		return
	}
	for _, w := range n.writes[:k] {
		n.durable = w.apply(n.durable)
	}
	n.writes = slices.Clone(n.writes[k:])
}

func linked(entries map[string]*node, links []link) map[string]*node {
	for _, l := range links {
		delete(entries, l.old)
		if l.node == nil {
			delete(entries, l.name)
		} else {
			entries[l.name] = l.node
		}
	}
	return entries
}

func (w write) apply(content []byte) []byte {
	end := int(w.at) + len(w.data)
	if w.data == nil && end < len(content) {
		return content[:end:end]
	}
	if grow := end - len(content); grow > 0 {
		content = append(content, make([]byte, grow)...)
	}
	copy(content[w.at:], w.data)
	return content
}

// Image writes to a new folder what the disk has after a power cut at this moment: only what was synced, or, with a random
// source, also some of what was not, in the ways in which journaling file systems leave it. The entries of a folder are in the
// state after some number of the changes that were not synced. So is a file: of what was overwritten each sector may be the old
// or the new one, and of what was appended there is a part, torn at any byte.
func (d *Disk) Image(to string, random *rand.Rand) (torn int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.top.image(to, random)
}

func (n *node) image(to string, random *rand.Rand) (torn int, err error) {
	if n.kept == nil {
		content := n.durable
		if random != nil && len(n.writes) > 0 {
			content, torn = n.torn(random), 1
		}
		return torn, os.WriteFile(to, content, 0o600)
	}
	entries := n.kept
	if random != nil {
		entries = linked(maps.Clone(n.kept), n.links[:random.IntN(len(n.links)+1)])
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return 0, err
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		more, err := entries[name].image(filepath.Join(to, name), random)
		if torn += more; err != nil {
			return 0, err
		}
	}
	return torn, nil
}

const sector = 512

func (n *node) torn(random *rand.Rand) []byte {
	later := slices.Clone(n.durable)
	for _, w := range n.writes[:random.IntN(len(n.writes)+1)] {
		later = w.apply(later)
	}
	content := slices.Clone(n.durable)
	for at := 0; at < min(len(content), len(later)); at += sector {
		if random.IntN(2) == 0 {
			copy(content[at:min(at+sector, len(content))], later[at:])
		}
	}
	if grow := len(later) - len(content); grow > 0 {
		return append(content, later[len(content):len(content)+random.IntN(grow+1)]...)
	}
	if random.IntN(2) == 0 {
		content = content[:len(later)]
	}
	return content
}
