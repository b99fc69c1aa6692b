-- needs: replies
-- The words that opt a person out of messages, or in again, each with its source; not legal advice.
--
-- word: as in the column keyword of replies
-- country_code: where the word counts; null: everywhere
-- meaning: opt_out or opt_in
-- source: who says so
select word, country_code, meaning, source
from read_csv('opt_out_words.csv', all_varchar = true) as words
