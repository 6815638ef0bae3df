// The skeleton of kernels of which a workgroup of THREADS has a unit, each by itself: this one has `unit`, below params.units. The kernel brings
// what happens to it, marked `@splice`:
//   unit_work

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,
) {
  let unit = group.y * groups.x + group.x;
  if (unit < params.units) {
    unit_work();
  }
}
