package harbour

import (
	"context"
	"errors"
	"net/http"
)

// note is a remark on a parcel between its customer and the office.
type note struct {
	ID         int64  `json:"id"`
	ParcelID   int64  `json:"parcel_id"`
	CustomerID int64  `json:"customer_id"` // the parcel's
	AuthorID   int64  `json:"author_id"`
	Text       string `json:"text"`
	CreatedAt  string `json:"created_at"`
}

const noteQuery = `SELECT notes.id, parcel_id, customer_id, author_id, text, notes.created_at FROM notes JOIN parcels ON parcels.id = parcel_id`

func scanNote(r scanner) (note, error) {
	var n note
	return n, r.Scan(&n.ID, &n.ParcelID, &n.CustomerID, &n.AuthorID, &n.Text, &n.CreatedAt)
}

func (s *Server) notesOf(ctx context.Context, p parcel) ([]note, error) {
	return many(ctx, s.db, scanNote, noteQuery+` WHERE parcel_id = ? ORDER BY notes.id LIMIT 100`, p.ID)
}

func (s *Server) listNotes(c *call) error {
	p, err := s.ownParcel(c)
	if err != nil {
		return err
	}
	items, err := s.notesOf(c.ctx(), p)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, map[string]any{"items": items})
}

type noteInput struct {
	Text string `json:"text"`
}

func (s *Server) createNote(c *call) error {
	p, err := s.ownParcel(c)
	if err != nil {
		return err
	}
	var in noteInput
	err = c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.text("/text", in.Text, 1, 500)
	if err := k.err(); err != nil {
		return err
	}
	at := stamp(s.now())
	id, err := insert(c.ctx(), s.db, `INSERT INTO notes (parcel_id, author_id, text, created_at) VALUES (?, ?, ?, ?)`, p.ID, c.who.ID, in.Text, at)
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, note{id, p.ID, p.CustomerID, c.who.ID, in.Text, at})
}

func (s *Server) getNote(c *call) error {
	p, err := s.ownParcel(c)
	if err != nil {
		return err
	}
	id, err := c.pathInt("note_id")
	if err != nil {
		return err
	}
	n, err := one(c.ctx(), s.db, scanNote, noteQuery+` WHERE notes.id = ?`, id)
	if errors.Is(err, errNoRow) {
		return notFound("note")
	}
	if err != nil {
		return err
	}
	// The parcel in the path was checked; with bola-note-nested, that the note belongs to it was not.
	if n.ParcelID != p.ID && !s.open("bola-note-nested") {
		return notFound("note")
	}
	return c.send(http.StatusOK, n)
}
