// Rows are sorted by descending score: those above the limit are the first ones. Its own box stands for what was drawn or confirmed.
const { x, y, score, is_flagged, is_own } = source.data;
const least = limit.data.threshold[0];
if (window.simsearch.viewer.density?.decide(source.name)) return [];
let first = 0;
let end = score.length;
while (first < end) {
  const middle = (first + end) >> 1;
  if (score[middle] >= least) first = middle + 1;
  else end = middle;
}
const kept = [];
const near = window.simsearch.viewer.density?.near(source.name, first);
const isNear = near ? (row) => x[row] > near.left && x[row] < near.right && y[row] > near.bottom && y[row] < near.top : () => true;
for (let row = 0; row < first; row += 1) if (!is_flagged[row] && !is_own[row] && isNear(row)) kept.push(row);
return kept;
