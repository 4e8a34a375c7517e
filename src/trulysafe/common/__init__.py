"""What every room uses: error messages, ids, schemas of tables, small files, stored states."""
