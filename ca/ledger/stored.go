package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// stored are the hashes that the file holds.
type stored struct {
	ctx context.Context
	db  *sql.DB
}

// ReadHashes implements tlog.HashReader, with one query for all.
func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found, err := s.hashesAt(indexes)
	if err != nil {
		return nil, err
	}
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		hash, ok := found[index]
		if !ok {
			return nil, damagef("hash %d is missing or not whole", index)
		}
		hashes[i] = hash
	}
	return hashes, nil
}

// hashesAt are the hashes at some indexes, as far as they are there.
func (s stored) hashesAt(indexes []int64) (map[int64]tlog.Hash, error) {
	asked, err := json.Marshal(indexes)
	if err != nil {
		return nil, fmt.Errorf("asking for hashes: %w", err)
	}
	return s.hashes(`SELECT idx, hash FROM json_each(?) CROSS JOIN hashes ON idx = value`, string(asked))
}

// hashes takes all rows of a query for index and hash, but for hashes that are not whole.
func (s stored) hashes(text string, args ...any) (map[int64]tlog.Hash, error) {
	rows, err := s.db.QueryContext(s.ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("reading hashes: %w", err)
	}
	defer rows.Close()
	found := map[int64]tlog.Hash{}
	for rows.Next() {
		var index int64
		var hash []byte
		if err := rows.Scan(&index, &hash); err != nil {
			return nil, fmt.Errorf("reading hashes: %w", err)
		}
		if len(hash) == tlog.HashSize {
			found[index] = tlog.Hash(hash)
		}
	}
	// A writer's pool has one connection: it must be free for the next query.
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("reading hashes: %w", err)
	}
	return found, nil
}

// check sees that records are what was hashed, so that nobody is answered, and
// no gate decides, by an entry that was changed in the file.
func (s stored) check(records []Record) error {
	if len(records) == 0 {
		return nil
	}
	if isRun(records) {
		return s.checkRun(records)
	}
	for some := range slices.Chunk(records, page) {
		indexes := make([]int64, len(some))
		for i, r := range some {
			indexes[i] = leaf(r)
		}
		hashes, err := s.hashesAt(indexes)
		if err != nil {
			return err
		}
		if err := hashed(some, hashes); err != nil {
			return err
		}
	}
	return nil
}

// isRun says whether each record follows the one before it: questions may answer them
// in another order.
func isRun(records []Record) bool {
	for i, r := range records {
		if r.Index != records[0].Index+uint64(i) {
			return false
		}
	}
	return true
}

// checkRun does the same for records that follow one another: their hashes lie
// close together.
func (s stored) checkRun(records []Record) error {
	hashes, err := s.hashes(`SELECT idx, hash FROM hashes WHERE idx BETWEEN ? AND ?`, leaf(records[0]), leaf(records[len(records)-1]))
	if err != nil {
		return err
	}
	return hashed(records, hashes)
}

// hashed is nil if each record is what its hash, among these, was made of.
func hashed(records []Record, hashes map[int64]tlog.Hash) error {
	for _, r := range records {
		if hash, ok := hashes[leaf(r)]; !ok || hash != tlog.RecordHash(r.Data) {
			return damagef("entry %d is not what was hashed", r.Index)
		}
	}
	return nil
}

// leaf is where the hash of a record is stored.
func leaf(r Record) int64 { return tlog.StoredHashIndex(0, int64(r.Index)) }
