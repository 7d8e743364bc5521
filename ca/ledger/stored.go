package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// stored are the hashes that the file holds.
type stored struct {
	ctx context.Context
	db  *sql.DB
}

// ReadHashes implements tlog.HashReader.
func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		var hash []byte
		err := s.db.QueryRowContext(s.ctx, `SELECT hash FROM hashes WHERE idx = ?`, index).Scan(&hash)
		if errors.Is(err, sql.ErrNoRows) || (err == nil && len(hash) != tlog.HashSize) {
			return nil, damagef("hash %d is missing or not whole", index)
		}
		if err != nil {
			return nil, fmt.Errorf("reading hash %d: %w", index, err)
		}
		hashes[i] = tlog.Hash(hash)
	}
	return hashes, nil
}

// check sees that records are what was hashed, so that nobody is answered, and
// no gate decides, by an entry that was changed in the file.
func (s stored) check(records []Record) error {
	if len(records) == 0 {
		return nil
	}
	first, last := records[0].Index, records[len(records)-1].Index
	if last-first == uint64(len(records)-1) {
		return s.checkRun(records)
	}
	for _, r := range records {
		if err := s.checkRun([]Record{r}); err != nil {
			return err
		}
	}
	return nil
}

// checkRun does the same for records that follow one another: their hashes lie
// close together.
func (s stored) checkRun(records []Record) error {
	first, last := leaf(records[0]), leaf(records[len(records)-1])
	rows, err := s.db.QueryContext(s.ctx, `SELECT idx, hash FROM hashes WHERE idx BETWEEN ? AND ?`, first, last)
	if err != nil {
		return fmt.Errorf("reading hashes: %w", err)
	}
	defer rows.Close()
	hashes := make(map[int64]tlog.Hash, last-first+1)
	for rows.Next() {
		var index int64
		var hash []byte
		if err := rows.Scan(&index, &hash); err != nil {
			return fmt.Errorf("reading hashes: %w", err)
		}
		if len(hash) == tlog.HashSize {
			hashes[index] = tlog.Hash(hash)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading hashes: %w", err)
	}
	for _, r := range records {
		if hash, ok := hashes[leaf(r)]; !ok || hash != tlog.RecordHash(r.Data) {
			return damagef("entry %d is not what was hashed", r.Index)
		}
	}
	return nil
}

// leaf is where the hash of a record is stored.
func leaf(r Record) int64 { return tlog.StoredHashIndex(0, int64(r.Index)) }
